"""Why nobody answers for an address: macvlan's walls, cables, subnets and addresses that two have."""

from __future__ import annotations

import pytest

from tests.sim.reasons import forecast, reason

WALL = "macvlan keeps a host and its own containers apart"
LAN = """
name: l
services:
  pi: {image: nginx, networks: {lan: {ipv4_address: 192.168.99.50}}}
  web: {image: nginx, network_mode: bridge}
networks:
  lan:
    driver: macvlan
    driver_opts: {parent: eth0}
    ipam: {config: [{subnet: 192.168.99.0/24, gateway: 192.168.99.1}]}
x-hopcast:"""


@pytest.mark.parametrize(("asked", "cause"), [
    ("pi -> host ping", f"{WALL}: l-pi-1 is on an interface of host itself"),
    ("host -> pi:80", f"{WALL}: l-pi-1 is on an interface of host itself"),
    ("web -> pi:80 by ip", f"{WALL}: l-pi-1 is on an interface of host itself"),
    ("pi -> 1.1.1.1:443", "the gateway of l_lan, 192.168.99.1, is nobody's: no machine of the file has that address, "
                          "so nothing leads from l-pi-1 to 1.1.1.1"),
    ("pi -> 192.168.99.77 ping", "nobody on l_lan has 192.168.99.77"),
    ("web -> 172.17.0.99 ping", "nobody on the default bridge has 172.17.0.99"),
])
def test_who_does_not_answer_arp_is_explained(asked: str, cause: str) -> None:
    assert reason(LAN, asked) == cause


def test_an_address_that_two_machines_have_is_said_before_and_with_the_answer() -> None:
    told = forecast("""
services: {pihole: {image: nginx, networks: [lan]}}
networks:
  lan:
    driver: macvlan
    driver_opts: {parent: eth0}
    ipam: {config: [{subnet: 192.168.99.0/24, gateway: 192.168.99.1}]}
x-hopcast:
  clients: {nas: {address: 192.168.99.2/24}, laptop: {address: 192.168.99.200/24}}
  questions: ["laptop -> 192.168.99.2:81"]""")
    both = "nas and hopcast-pihole-1 have the same address 192.168.99.2"
    assert told.cautions == [f"{both} on the wire"]
    assert told.reasons[0].endswith(f"{both}: who answers ARP first gets the packets")


def test_a_host_and_its_host_mode_containers_are_no_two_owners_of_an_address() -> None:
    assert forecast("services: {a: {image: nginx, network_mode: host}}").cautions == []


def test_virtual_addresses_of_a_swarm_are_no_two_owners_either() -> None:
    assert forecast("""
services: {a: {image: nginx, ports: ["80:80"]}}
x-hopcast: {stack: true, hosts: {h1: {}, h2: {}}}""").cautions == []


OVERLAP = """
name: o
services:
  web: {image: nginx, ports: ["8080:80"], networks: [bad]}
  other: {image: busybox, networks: [good]}
networks: {bad: {ipam: {config: [{subnet: 192.168.99.128/25}]}}, good: {}}
x-hopcast:
  clients: {client: {address: 192.168.99.200/24, listens: [7000]}}"""
TOO = "whose subnet 192.168.99.128/25 has"


@pytest.mark.parametrize(("asked", "cause"), [
    ("web -> client:7000", f"192.168.99.200 is client's, out on the wire; o-web-1 looks for it on o_bad, {TOO} "
                           "192.168.99.200 too"),
    ("other -> client:7000", "192.168.99.200 is client's, out on the wire, but host looks for it on o_bad, "
                             f"{TOO} it too"),
    ("client -> web:443 direct", "192.168.99.130 is o-web-1's, inside of o_bad on host; client looks for it on the "
                                 "wire, whose subnet 192.168.99.0/24 has 192.168.99.130 too"),
    ("client -> host:443", "443 isn't published on host; 8080 -> 80 is; and the refusal does not come back: "
                           f"192.168.99.200 is client's, out on the wire; host looks for it on o_bad, {TOO} "
                           "192.168.99.200 too"),
])
def test_a_subnet_that_is_also_the_wires_is_the_cause(asked: str, cause: str) -> None:
    assert reason(OVERLAP, asked) == cause


def test_a_subnet_that_is_also_the_wires_is_said_before_any_answer() -> None:
    (said,) = forecast(OVERLAP).cautions
    assert said.startswith("subnet 192.168.99.128/25 of network o_bad overlaps 192.168.99.0/24, the wire")


@pytest.mark.parametrize(("mode", "cause"), [
    ("private", "macvlan_mode private: containers on one parent do not hear each other"),
    ("vepa", "macvlan_mode vepa: hopcast-a-1 and hopcast-b-1 meet only by a switch that sends frames back, and this "
             "one does not"),
])
def test_a_macvlans_mode_keeps_siblings_apart(mode: str, cause: str) -> None:
    assert reason(f"""
services: {{a: {{image: busybox, networks: [m]}}, b: {{image: nginx, networks: [m]}}}}
networks: {{m: {{driver: macvlan, driver_opts: {{parent: eth0, macvlan_mode: {mode}}}}}}}
x-hopcast:""", "a -> b:80 by ip") == cause


def test_containers_on_two_vlans_hear_each_other_never() -> None:
    said = reason("""
services:
  a: {image: busybox, networks: {ten: {ipv4_address: 10.1.0.5}}}
  b: {image: nginx, networks: {twenty: {ipv4_address: 10.1.0.6}}, x-hopcast: {host: h2}}
networks:
  ten: {driver: macvlan, driver_opts: {parent: eth0.10}, ipam: {config: [{subnet: 10.1.0.0/24}]}}
  twenty: {driver: macvlan, driver_opts: {parent: eth0.20}, ipam: {config: [{subnet: 10.1.0.0/24}]}}
x-hopcast:
  hosts: {h1: {}, h2: {}}""", "a -> b:80 by ip")
    assert said == ("hopcast-a-1 is on VLAN 10, hopcast-b-1 on VLAN 20: they are on different VLANs of the wire")


def test_a_networks_subnet_that_hides_a_route_of_its_host_is_the_cause_and_said_before() -> None:
    told = forecast("""
name: vpn
services: {web: {image: nginx, networks: [n]}}
networks: {n: {ipam: {config: [{subnet: 172.18.0.0/16}]}}}
x-hopcast:
  hosts: {host: {routes: ["172.18.5.0/24 via vpngw"]}}
  clients: {vpngw: {address: 192.168.99.1/24}}
  questions: ["web -> 172.18.5.20:443"]""")
    assert told.cautions == ["subnet 172.18.0.0/16 of network vpn_n overlaps the route 172.18.5.0/24 via 192.168.99.1 "
                             "dev eth0 of host: one of the two hides the other"]
    assert told.reasons == ["host has the route 172.18.5.0/24 via 192.168.99.1 dev eth0, but vpn-web-1 looks for "
                            "172.18.5.20 on vpn_n, whose subnet 172.18.0.0/16 has it too"]


def test_an_address_of_another_engines_bridge_is_looked_for_on_the_own_one() -> None:
    said = reason("""
services: {a: {image: nginx, network_mode: bridge, x-hopcast: {host: h2}}}
x-hopcast:
  hosts: {h1: {}, h2: {}}""", "h1 -> a:80 by ip")
    assert said == ("172.17.0.2 is hopcast-a-1's, on the default bridge of h2; h1 looks for it on the default bridge "
                    "of h1, whose subnet 172.17.0.0/16 has it too")


def test_a_cut_cable_is_the_cause_for_whoever_is_behind_it() -> None:
    said = forecast("""
services: {web: {image: nginx, ports: ["8080:80"]}}
x-hopcast:
  faults: {cut: link down host}
  questions: [client -> web:80 published around cut, host -> client ping during cut]""").reasons
    assert said[1] == "host (192.168.99.101) does not answer: the cable of host is cut"
    assert said[3] == "the cable of host is cut"


def test_a_cable_that_loses_every_frame_is_named() -> None:
    said = reason("""
services: {web: {image: nginx, ports: ["8080:80"]}}
x-hopcast:
  clients: {client: {link: {loss: 100%}}}""", "client -> web:80 published")
    assert said == "the cable of client loses every frame"


SYSCTLS = """
name: y
services:
  a: {image: nginx, sysctls: {net.ipv4.icmp_echo_ignore_all: 1}}
  b: {image: nginx, sysctls: {net.ipv4.conf.all.arp_ignore: 8}}
  c: {image: nginx, sysctls: {net.ipv4.ip_default_ttl: 1}}
  d: {image: busybox}
x-hopcast:"""


@pytest.mark.parametrize(("asked", "cause"), [
    ("d -> a ping", "y-a-1 answers no ping: net.ipv4.icmp_echo_ignore_all is 1"),
    ("d -> b:80 by name", "y-b-1 has 172.18.0.3, and does not answer ARP on eth0 of y-d-1: "
                          "net.ipv4.conf.eth0.arp_ignore is 8"),
    ("c -> client ping", "TTL ran out in host: y-c-1 sends with 1 (net.ipv4.ip_default_ttl)"),
])
def test_a_sysctl_that_decides_is_named(asked: str, cause: str) -> None:
    assert reason(SYSCTLS, asked) == cause
