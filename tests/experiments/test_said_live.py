"""What can be said of a project, proved on a real engine: links, processes on one address, external networks."""

from __future__ import annotations

import pytest

from experiments.verify import verify
from sim.compose import loads

pytestmark = pytest.mark.live

SAID = """
name: said
services:
  one: {image: redis, network_mode: bridge}
  two: {image: busybox, network_mode: bridge, expose: ["81", "53/udp"], ports: ["8080:80"]}
  inside: {image: busybox, network_mode: "service:two", x-hopcast: {listens: [9000]}}
  linked:
    image: busybox
    network_mode: bridge
    links: [one, "two:web"]
    external_links: ["said-inside-1:in"]
    x-hopcast: {listens: [99]}
  db: {image: busybox, networks: [front], x-hopcast: {listens: ["127.0.0.1:5432", 5433]}}
  ulinked: {image: busybox, networks: [front], links: ["db:store"]}
  lan: {image: busybox, networks: {mv: {ipv4_address: 192.168.99.50}}, x-hopcast: {listens: [80]}}
networks: {front: {}, mv: {external: true}}
x-hopcast:
  hosts: {host: {engine: {icc: false}}}
  networks: {mv: {driver: macvlan, parent: eth0, subnet: 192.168.99.0/24, gateway: 192.168.99.1}}
  questions:
    - linked -> one-1:6379 by name
    - linked -> web:53/udp by name
    - linked -> in:80 by name
    - linked -> in:9000 by name
    - two -> linked:99 by ip
    - ulinked -> store:5432 by name
    - ulinked -> db-1:5433 by name
    - db -> localhost:5432 by name
    - db -> store:5433 by name
    - client -> lan:80
    - host -> lan:80
"""


def test_links_single_addresses_and_external_networks_are_as_predicted() -> None:
    verification = verify(loads(SAID, environment={}))
    assert [check for check in verification.checks if check.agreed is not True] == []
    assert [answer.outcome.value for answer in verification.prediction.answers] == [
        "reached", "reached", "reached", "timeout", "timeout", "refused", "reached", "reached", "no such name",
        "reached", "timeout"]
