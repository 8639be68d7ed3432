"""Which features of a kernel a topology needs."""

from __future__ import annotations

from typing import Literal

from live import doctor
from live.needs import needed
from sim.build import topology
from sim.spec import Attachment, Container, Network, Service, Spec, Underlay


def spec(*networks: Network, underlay: Underlay | None = None) -> Spec:
    return Spec(networks=networks, underlay=underlay or Underlay())


def test_bridges_need_nothing_that_a_kernel_might_lack() -> None:
    assert needed(topology("t").network("front").container("web", networks=["front"]).spec()) == {}


def test_a_macvlan_without_a_parent_stands_on_a_dummy() -> None:
    assert needed(spec(Network(name="m", driver="macvlan"))) == {"macvlan": "network m", "dummy": "network m"}
    on_uplink = Network(name="m", driver="macvlan", subnet="192.168.99.0/24", options={"parent": "eth0"})
    assert needed(spec(on_uplink)) == {"macvlan": "network m"}


def test_an_overlay_is_vxlan_and_the_first_that_needs_it_is_named() -> None:
    nets = [Network(name=name, driver="overlay", attachable=True) for name in ("a", "b")]
    assert needed(spec(*nets)) == {"vxlan": "network a"}


def test_a_slow_wire_needs_netem_and_a_narrow_one_tbf() -> None:
    assert needed(spec(underlay=Underlay(delay=0.002))) == {"netem": "delay or loss on the link of host"}
    assert needed(spec(underlay=Underlay(rate=1e9))) == {"tbf": "the rate of the link of host"}


def test_a_published_port_of_sctp_needs_sctp_and_an_exposed_one_does_not() -> None:
    bare = topology("t").network("front")
    assert needed(bare.container("a", networks=["front"], expose=["2905/sctp"]).spec()) == {}
    published = bare.container("a", networks=["front"], ports=["2905/sctp"]).spec()
    assert needed(published) == {"sctp": "a port that a publishes"}


def test_features_have_the_doctors_names() -> None:
    named = {"vxlan", "macvlan", "ipvlan", "netem", "tbf", "8021q", "ip_vs", "sctp"}
    assert named <= set(doctor.KERNEL)


def test_a_virtual_address_needs_ip_vs_and_dnsrr_does_not() -> None:
    def needs(mode: Literal["vip", "dnsrr"]) -> dict[str, str]:
        front = (Attachment(network="front"),)
        service = Service(name="web", endpoint_mode=mode, attachments=front)
        task = Container(name="web.1", task_of="web", attachments=front)
        network = Network(name="front", driver="overlay")
        return needed(Spec(networks=(network,), services=(service,), containers=(task,)))

    assert needs("vip")["ip_vs"] == "the virtual address of service web"
    assert "ip_vs" not in needs("dnsrr")
