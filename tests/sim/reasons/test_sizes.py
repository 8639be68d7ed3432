"""Why a packet is too large, and for whom."""

from __future__ import annotations

from tests.sim.reasons import reason


def test_an_overlay_that_is_wider_than_its_hosts_wire_names_both_mtus_and_the_option() -> None:
    said = reason("""
services:
  a: {image: nginx, networks: [net], x-hopcast: {host: n1}}
  b: {image: nginx, networks: [net], x-hopcast: {host: n2}}
networks: {net: {driver: overlay, attachable: true}}
x-hopcast:
  underlay: {mtu: 1420}
  hosts: {n1: {}, n2: {}}
  questions: [{from: a, to: b, by: ip, size: 1400}]""")
    assert said == ("overlay hopcast_net has MTU 1450, but the way between its hosts takes 1370 (MTU 1420 of n1's "
                    "uplink less 50 for VXLAN), and 1428 bytes do not fit; set com.docker.network.driver.mtu to 1420")


def test_an_uplink_that_is_narrower_than_the_bridge_needs_fragments() -> None:
    said = reason("""
services: {build: {image: nginx}}
x-hopcast:
  hosts: {host: {link: {mtu: 1450}}}
  questions: [{from: build, to: client, by: ip, size: 1450, df: true}]""")
    assert said == ("1478 bytes do not fit the MTU 1450 of eth0 in host: fragmentation is needed, and DF is set")


def test_a_switch_tells_nobody_of_a_frame_that_does_not_fit() -> None:
    said = reason("""
services: {build: {image: nginx}}
x-hopcast:
  clients: {client: {link: {mtu: 1400}}}
  questions: [{from: host, to: client, by: ip, size: 1450, df: true}]""")
    assert said == ("a frame of 1478 bytes does not fit the MTU 1400 of client's cable: a switch drops it and sends no "
                    "ICMP error; give all machines on the wire one MTU")
