"""Why a port refuses: what is published instead, who listens, and answers from somebody who was not asked."""

from __future__ import annotations

import pytest

from sim.errors import SpecError
from sim.trace import Outcome
from tests.sim.reasons import forecast, reason

SHOP = """
name: s
services:
  web: {image: nginx, ports: ["8080:80", "5353:53/udp"], networks: [a], x-hopcast: {listens: [80, 53/udp]}}
  api: {image: nginx, ports: ["127.0.0.1:8083:80"], networks: [a]}
  dead: {image: busybox, ports: ["8084:9999"], networks: [a], x-hopcast: {listens: [7]}}
  mute: {image: busybox, networks: [a]}
  vault: {image: postgres, ports: ["5432:5432"], networks: [back]}
  onhost: {image: nginx, ports: ["8085:81"], network_mode: host, x-hopcast: {listens: [3000]}}
  lan: {image: nginx, ports: ["8086:80"], networks: [mv]}
networks:
  a: {}
  back: {internal: true}
  mv: {driver: macvlan, driver_opts: {parent: eth0}}
x-hopcast:"""


@pytest.mark.parametrize(("asked", "cause"), [
    ("client -> host:443", "443 isn't published on host; 8080 -> 80, 5353 -> 53/udp, 127.0.0.1:8083 -> 80 and "
                           "8084 -> 9999 are, and its own processes listen on 3000"),
    ("client -> host:8080/udp", "8080/udp isn't published on host; 8080/tcp is"),
    ("client -> host:8083", "8083 is published on 127.0.0.1 only, not on 192.168.99.101"),
    ("client -> host:8084", "8084 -> 9999 is published, but nothing in s-dead-1 listens on 9999; 7 is open"),
    ("host -> 127.0.0.1:8084", "8084 -> 9999 is published, but nothing in s-dead-1 listens on 9999; 7 is open"),
    ("client -> host:5432", "5432 isn't published: s-vault-1 is on internal networks only (s_back), and an internal "
                            "network publishes nothing"),
    ("client -> vault:5432 published", "5432 isn't published: s-vault-1 is on internal networks only (s_back), and an "
                                       "internal network publishes nothing"),
    ("client -> host:8085", "8085 isn't published: the engine discards the ports of s-onhost-1, which is in the "
                            "network of its host (network_mode: host)"),
    ("client -> host:8086", "8086 isn't published: s-lan-1's way out is macvlan, which publishes nothing"),
    ("web -> api:81 by name", "nothing in s-api-1 listens on 81; 80 is open"),
    ("web -> mute:81 by name", "nothing in s-mute-1 listens on 81, nor on any other port"),
    ("mute -> 127.0.0.1:8080", "127.0.0.1 is s-mute-1 itself, and nothing in s-mute-1 listens on 8080, nor on any "
                               "other port (it is host that publishes 8080 -> 80 of s-web-1)"),
    ("mute -> web:53/udp published", "docker-proxy answers from 172.18.0.1, not from 192.168.99.101 that was asked: a "
                                     "UDP socket that is connected to 192.168.99.101 takes answers from there only"),
])
def test_a_port_refuses_for_what_is_published_and_listened_on(asked: str, cause: str) -> None:
    assert reason(SHOP, asked) == cause


def test_a_port_that_the_file_publishes_and_the_engine_does_not_is_nothing_to_dial() -> None:
    (answer,) = forecast(f"{SHOP}\n  questions: [client -> vault:5432 published]").answers
    assert answer.outcome is Outcome.NO_TARGET


def test_a_port_that_the_file_does_not_publish_is_a_mistake_in_the_question() -> None:
    with pytest.raises(SpecError, match=r"s-web-1 does not publish port 443/tcp; 80/tcp, 53/udp is published"):
        forecast(f"{SHOP}\n  questions: [client -> web:443 published]")


def test_docker_proxy_dies_with_its_engine() -> None:
    said = forecast("""
services: {web: {image: nginx, ports: ["8080:80"]}}
x-hopcast:
  faults: {crash: engine killed host}
  questions: [{around: crash, ask: ["host -> 127.0.0.1:8080"]}]""").reasons
    assert said[1] == "docker-proxy, which served 8080 of host, died with its engine"
    assert said[2].startswith("8080 isn't published: hopcast-web-1 does not run")


def test_an_answer_that_leaves_past_the_nat_is_from_a_stranger() -> None:
    said = reason("""
name: mv
services:
  web: {image: nginx, ports: ["8080:80"], networks: {lan: {ipv4_address: 192.168.99.50}, front: {}}}
networks:
  lan: {driver: macvlan, driver_opts: {parent: eth0}, ipam: {config: [{subnet: 192.168.99.0/24}]}}
  front: {}
x-hopcast:""", "client -> host:8080")
    assert said == ("the answer comes from 172.18.0.2 (mv-web-1), not from 192.168.99.101 that was asked: it goes back "
                    "by another way, past the NAT that would turn its source around")


def test_without_rules_and_proxy_nobody_serves_a_published_port() -> None:
    said = reason("""
services: {web: {image: nginx, ports: ["8080:80"]}}
x-hopcast:
  hosts: {host: {engine: {iptables: false, userland-proxy: false}}}""", "client -> web:80 published")
    assert said == ("8080 of host is held by dockerd itself, which never answers: userland-proxy: false and iptables: "
                    "false")
