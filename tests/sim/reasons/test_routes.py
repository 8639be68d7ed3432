"""Why there is no way to an address: which route is missing where."""

from __future__ import annotations

import pytest

from tests.sim.reasons import reason

FILE = """
name: r
services:
  web: {image: nginx, networks: [front], ports: ["8080:80"]}
  db: {image: postgres, networks: [back], ports: ["5432:5432"]}
  in: {image: busybox, networks: [locked]}
  alone: {image: nginx, network_mode: none}
networks: {front: {}, back: {internal: true}, locked: {driver: macvlan, internal: true}}
x-hopcast:"""


@pytest.mark.parametrize(("asked", "cause"), [
    ("client -> web:80 direct", "client has no route to 172.18.0.2, inside of r_front on host; dial host's published "
                                "port: 8080 -> 80; a route would be `172.18.0.0/16 via 192.168.99.101`"),
    ("client -> web:443 direct", "client has no route to 172.18.0.2, inside of r_front on host; 443 isn't published, "
                                 "8080 -> 80 is"),
    ("client -> db:5432 direct", "client has no route to 172.19.0.2, inside of r_back on host, an internal network; "
                                 "5432 isn't published: r-db-1 is on internal networks only (r_back), and an internal "
                                 "network publishes nothing"),
    ("web -> 203.0.113.7:443", "the file says nothing of a way from host to 203.0.113.7: declare x-hopcast: {internet: "
                               "true}, or give host a gateway"),
    ("in -> client ping", "r-in-1 is on internal networks only (r_locked), from which no route leads out"),
    ("alone -> 192.168.99.200:7000", "r-alone-1 has network mode none: nothing but its loopback"),
])
def test_a_missing_route_is_named(asked: str, cause: str) -> None:
    assert reason(FILE, asked) == cause


@pytest.mark.parametrize("engine", ["iptables: false", "ip-masq: false"])
def test_without_masquerading_the_answer_finds_no_way_back(engine: str) -> None:
    said = reason(f"""
services: {{web: {{image: nginx, network_mode: bridge}}}}
x-hopcast:
  hosts: {{host: {{engine: {{{engine}}}}}}}
  clients: {{client: {{listens: [7000]}}}}""", "web -> client:7000")
    assert said == ("the answer can't come back: client has no route to 172.17.0.2, inside of the default bridge on "
                    "host; packets leave it with their own source, for nothing masquerades them; a route would be "
                    "`172.17.0.0/16 via 192.168.99.101`")


def test_an_engine_told_not_to_forward_is_named() -> None:
    said = reason("""
services: {web: {image: nginx}}
x-hopcast:
  hosts: {host: {engine: {iptables: false, ip-forward: false}}}
  clients: {client: {listens: [7000]}}""", "web -> client:7000")
    assert said == "host forwards nothing: net.ipv4.ip_forward is 0 (the engine's option ip-forward: false)"


def test_containers_of_two_overlays_share_no_network() -> None:
    said = reason("""
services:
  red: {image: nginx, networks: [alpha], x-hopcast: {host: h1}}
  blue: {image: nginx, networks: [beta], x-hopcast: {host: h2}}
networks: {alpha: {driver: overlay, attachable: true}, beta: {driver: overlay, attachable: true}}
x-hopcast:
  hosts: {h1: {}, h2: {}}""", "red -> blue:80 by ip")
    assert said == ("they share no network: hopcast-red-1 is on hopcast_alpha, hopcast-blue-1 is on hopcast_beta")
