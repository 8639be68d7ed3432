"""A device without anybody at its other end, and devices that are deleted."""

import pytest

from sim.errors import PlumbError
from sim.kernel.bridge import Bridge
from sim.kernel.effects import Handoff
from sim.kernel.ipvlan import Mode as IpvlanMode
from sim.kernel.ipvlan import add_ipvlan
from sim.kernel.macvlan import Mode, add_macvlan
from sim.kernel.netns import Netns
from sim.kernel.veth import veth_pair
from sim.kernel.vlan import add_vlan
from sim.kernel.vxlan import PORT, VxlanDevice
from sim.packet import Ethernet, IPv4, Packet, Proto, Udp, ip
from sim.trace import DropReason, Kind, Step


def machines():
    left, right = Netns("left"), Netns("right")
    veth_pair(left, "eth0", "mac(left:eth0)", right, "eth0", "mac(right:eth0)")
    left.add_address("eth0", "10.0.0.1/24")
    right.add_address("eth0", "10.0.0.2/24")
    return left, right


def frame():
    return Packet(eth=Ethernet("a", "b"), ip=IPv4(ip("10.0.0.1"), ip("10.0.0.2"), Proto.UDP), l4=Udp(1, 2))


def steps(device):
    return [e for e in device.xmit(frame(), 0.0) if isinstance(e, Step)]


def test_veth_has_carrier_while_both_ends_are_up() -> None:
    left, right = machines()
    assert left.device("eth0").carrier and right.device("eth0").carrier
    right.link_set("eth0", up=False)
    assert not left.device("eth0").carrier and left.device("eth0").up
    right.link_set("eth0", up=True)
    assert left.device("eth0").carrier


def test_frame_ends_before_the_tap_of_a_device_without_carrier() -> None:
    left, right = machines()
    right.link_set("eth0", up=False)
    assert [(s.kind, s.reason, s.detail) for s in steps(left.device("eth0"))] == [
        (Kind.DROP, DropReason.LINK_DOWN, "eth0 has no carrier")]


def test_routes_and_addresses_stay_without_carrier() -> None:
    left, right = machines()
    before = left.snapshot()
    right.link_set("eth0", up=False)
    assert left.snapshot() == before


def test_bridge_has_the_carrier_of_its_ports() -> None:
    left, right = machines()
    bridge = left.add_bridge("br", "mac(left:br)")
    assert not bridge.carrier
    left.enslave("br", "eth0")
    assert bridge.carrier
    right.link_set("eth0", up=False)
    assert not bridge.carrier


def test_bridge_has_no_carrier_while_its_only_port_is_down() -> None:
    host, inside = Netns("host"), Netns("inside")
    VxlanDevice("vxlan0", inside, "mac(inside:vxlan0)", host, 4097)
    bridge = inside.add_bridge("br0", "mac(inside:br0)")
    inside.enslave("br0", "vxlan0")
    assert bridge.carrier
    inside.link_set("vxlan0", up=False)
    assert inside.device("vxlan0").carrier and not bridge.carrier


def test_what_stands_on_a_parent_has_the_parents_carrier() -> None:
    left, right = machines()
    box = Netns("box")
    tagged = add_vlan(left.device("eth0"), "eth0.10", 10)
    macvlan = add_macvlan(tagged, box, "eth0", "mac(box:eth0)", Mode.BRIDGE)
    ipvlan = add_ipvlan(left.device("eth0"), box, "eth1", IpvlanMode.L2)
    assert tagged.carrier and macvlan.carrier and ipvlan.carrier
    right.link_set("eth0", up=False)
    assert not (tagged.carrier or macvlan.carrier or ipvlan.carrier)


def test_deleted_veth_takes_its_other_end_its_addresses_and_its_routes_along() -> None:
    left, right = machines()
    left.add_route("10.9.0.0/16", dev="eth0", via="10.0.0.2")
    left.neighbours.add("eth0", ip("10.0.0.2"), "mac(right:eth0)")
    left.link_del("eth0")
    for netns in (left, right):
        assert list(netns.devices) == ["lo"] and not netns.routes.entries
    assert not left.neighbours.permanent() and not left.is_local(ip("10.0.0.1")) and left.is_local(ip("127.0.0.1"))


def test_deleted_device_leaves_its_bridge_and_its_parent() -> None:
    left, _ = machines()
    box = Netns("box")
    veth_pair(left, "veth", "mac(left:veth)", box, "eth9", "mac(box:eth9)")
    bridge = left.add_bridge("br", "mac(left:br)")
    left.enslave("br", "veth")
    parent = left.device("eth0")
    add_macvlan(parent, box, "eth0", "mac(box:eth0)", Mode.BRIDGE)
    box.link_del("eth0")
    assert parent.macvlans is None
    add_ipvlan(parent, box, "eth0", IpvlanMode.L2)
    box.link_del("eth0")
    assert parent.ipvlans is None
    add_vlan(parent, "eth0.10", 10)
    left.link_del("eth0.10")
    assert not parent.vlans
    left.link_del("veth")
    assert bridge.ports == [] and "eth9" not in box.devices


def test_ports_stay_when_their_bridge_is_deleted() -> None:
    left, _ = machines()
    left.add_bridge("br", "mac(left:br)")
    left.enslave("br", "eth0")
    left.link_del("br")
    assert left.device("eth0").master is None and not any(isinstance(d, Bridge) for d in left.devices.values())


def test_socket_of_a_tunnel_closes_with_its_last_device() -> None:
    host, inside = Netns("host"), Netns("inside")
    VxlanDevice("vx1", inside, "mac(inside:vx1)", host, 1)
    VxlanDevice("vx2", inside, "mac(inside:vx2)", host, 2)
    inside.link_del("vx1")
    assert PORT in host.sockets.tunnels
    inside.link_del("vx2")
    assert PORT not in host.sockets.tunnels


def test_device_that_is_not_there_cannot_be_deleted() -> None:
    with pytest.raises(PlumbError, match='Cannot find device "eth7"'):
        Netns("n").link_del("eth7")


def test_namespace_without_settings_has_no_rules_and_forwards_nothing() -> None:
    left, _ = machines()
    left.iptables("-t nat -N DOCKER")
    left.sysctls["net.ipv4.ip_forward"] = "1"
    left.forget_settings()
    assert left.snapshot().rules == {} and left.sysctls["net.ipv4.ip_forward"] == "0"
    assert any(isinstance(e, Handoff) for e in left.device("eth0").xmit(frame(), 0.0))
