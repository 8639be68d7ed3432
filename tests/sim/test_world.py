"""The article's statements, as they come out of the plumbing (the same are asked of a real engine in tests/live)."""

import json
from pathlib import Path

import pytest

from sim import topology
from sim.compose import load
from sim.errors import PlumbError
from sim.kernel.bridge import Bridge
from sim.predict import latency, predict
from sim.spec import Question
from sim.trace import Kind, Outcome
from sim.world import build


def answers(builder, *questions):
    for question in questions:
        builder = builder.ask(question)
    prediction = predict(builder.spec())
    return [a.outcome.name for a in prediction.answers], prediction


def default_bridge():
    return topology("t").container("c1", mode="bridge").container("c2", mode="bridge")


def user_bridge():
    return (topology("t").network("front").network("back")
            .container("web", networks=["front"], ports=["8080:80"])
            .container("peer", networks=["front"])
            .container("db", networks=["back"], listens=[5432]))


def test_containers_on_the_default_bridge_reach_each_other_by_ip_and_not_by_name():
    assert answers(default_bridge(), "c1 -> c2 ping by ip", "c1 -> c2 ping by name")[0] == ["REACHED", "NO_SUCH_NAME"]


def test_containers_on_a_user_defined_bridge_reach_each_other_by_name():
    assert answers(user_bridge(), "peer -> web ping by name")[0] == ["REACHED"]


def test_two_user_defined_bridges_are_isolated_from_each_other():
    outcomes, prediction = answers(user_bridge(), "peer -> db ping by ip", "peer -> db ping by name")
    assert outcomes == ["TIMEOUT", "NO_SUCH_NAME"]
    drop = [s for s in prediction.traces[0].drops() if s.where == "host"]
    assert "DOCKER-ISOLATION-STAGE-2" in drop[0].detail


def test_published_port_is_reached_from_outside_through_dnat():
    outcomes, prediction = answers(user_bridge(), "client -> web:80 published")
    assert outcomes == ["REACHED"] and prediction.answers[0].seen_as == "192.168.99.200"
    assert any(s.kind is Kind.NAT and "DNAT" in s.detail for s in prediction.traces[0])


def test_published_port_on_127_0_0_1_goes_through_docker_proxy():
    outcomes, prediction = answers(user_bridge(), "host -> 127.0.0.1:8080")
    assert outcomes == ["REACHED"] and any(s.kind is Kind.PROXY for s in prediction.traces[0])
    assert prediction.answers[0].seen_as == "172.18.0.1"


def test_host_mode_discards_published_ports_with_dockers_warning():
    outcomes, prediction = answers(
        topology("t").container("web", mode="host", ports=["8081:80"], listens=[80]),
        "client -> host:80", "client -> host:8081")
    assert outcomes == ["REACHED", "REFUSED"]
    assert any("Published ports are discarded when using host network mode" in w for w in prediction.warnings)


def test_container_without_a_network_has_only_its_loopback():
    outcomes, prediction = answers(
        topology("t").container("alone", mode="none"), "alone -> 127.0.0.1 ping", "alone -> 192.168.99.101 ping")
    assert outcomes == ["REACHED", "NET_UNREACHABLE"]
    assert set(prediction.plumbing.namespaces["alone"].interfaces) == {"lo"}


def test_unpublished_port_is_refused_on_the_host_and_filtered_on_the_bridge():
    builder = user_bridge().client("client", routes=["172.16.0.0/12 via 192.168.99.101"])
    outcomes, prediction = answers(builder, "client -> host:5432 tcp", "client -> 172.19.0.2:5432 tcp")
    assert outcomes == ["REFUSED", "TIMEOUT"]
    assert "FORWARD" in prediction.traces[1].drops()[0].detail


def test_each_question_finds_the_caches_cold():
    _, prediction = answers(user_bridge(), "peer -> web ping by ip", "peer -> web ping by ip")
    first, second = ([s.packet.fields() for s in t if s.kind is Kind.SEEN and s.packet.arp] for t in prediction.traces)
    assert first and first == second


def test_same_spec_gives_byte_identical_json():
    def text():
        _, prediction = answers(user_bridge(), "peer -> web ping by name", "client -> web:80 published")
        first = min(s.packet.uid for t in prediction.traces for s in t if s.packet)
        rows = [[s.as_dict() | {"packet": s.packet.uid - first if s.packet else 0} for s in t]
                for t in prediction.traces]
        return json.dumps([rows, prediction.plumbing.as_dict()])

    assert text() == text()


def test_host_mode_has_fewer_steps_than_a_published_port():
    spec = user_bridge().container("plain", mode="host", listens=[9000]).ask("client -> host:9000").ask(
        "client -> web:80 published").spec()
    plain, nat = (latency(spec, q) for q in spec.questions)
    assert plain.seconds < nat.seconds and Kind.NAT.value not in plain.counts and nat.counts[Kind.NAT.value] == 2


@pytest.mark.parametrize("question", ["c1 -> c2 ping by ip"])
def test_questions_are_numbered_by_their_own_source_ports(question):
    _, prediction = answers(default_bridge(), question, question)
    assert [d.source_port for d in prediction.dials] == [20000, 20001]




def test_checksum_of_a_quoted_datagram_is_wrong_once_nat_has_rewritten_it() -> None:
    """The kernel corrects a partial checksum as if it were a whole one; seen on a real engine."""
    _, prediction = answers(
        topology("t").container("web", networks=["net"]).network("net"), "web -> 192.168.99.77:80 tcp timeout 4")
    quoted = [s.packet.inner.csum for s in prediction.traces[0]
              if s.kind is Kind.SEEN and s.where == "web" and s.packet and s.packet.inner]
    assert quoted and set(quoted) == {"bad"}


def test_machines_hang_on_a_wire_with_the_underlays_mtu() -> None:
    _, prediction = answers(
        topology("t").underlay(mtu=1400, subnet="10.77.0.0/24").container("web", networks=["lan"])
        .network("lan", driver="macvlan", options={"parent": "eth0"}), "web -> host ping by ip")
    links = prediction.plumbing.namespaces
    assert {links["host"].interfaces["eth0"].mtu, links["web"].interfaces["eth0"].mtu} == {1400}
    assert links["host"].interfaces["docker0"].mtu == 1500
    assert links["host"].interfaces["eth0"].addresses == ("10.77.0.101/24",)


SCENARIOS = sorted((Path(__file__).parents[2] / "experiments" / "scenarios").glob("*.yaml"))


def keeps(netns):
    """What a namespace has learnt of packets, by the table that has it."""
    found = {
        "neighbours": [key for key, entry in netns.neighbours.entries.items() if not entry.permanent],
        "conntrack": list(netns.netfilter.conntrack._table),
        "ipvs": [*netns.ipvs.connections._requests, *netns.ipvs.connections._replies],
        "sockets": [*netns.sockets.listeners, *netns.sockets.flows, *netns.sockets.pings],
        "fragments": list(netns.ip.reassembly.waiting),
        "associations": list(netns.xfrm._sent),
        "bridges": [mac for device in netns.devices.values() if isinstance(device, Bridge)
                    for mac, entry in device.fdb.entries.items() if not entry.static],
    }
    return {table: rows for table, rows in found.items() if rows}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_namespace_that_no_packet_touched_has_nothing_to_forget(path):
    world = build(load(path))
    asked = [q for q in world.spec.questions if not q.during and not q.after]
    touched = 0
    for index, question in enumerate(asked[:: max(1, len(asked) // 8)]):
        world.ask(world.dial(question, index))
        touched += sum(netns.touched for netns in world.namespaces.values())
        assert not {n.label: keeps(n) for n in world.namespaces.values() if not n.touched and keeps(n)}
    assert touched


def test_two_programs_that_bind_one_port_are_refused_when_the_first_question_is_asked():
    world = build(topology("t").network("front").container("web", networks=["front"], listens=[80]).spec())
    question = Question(source="web", target="127.0.0.1", probe="tcp", port=80)
    assert world.ask(world.dial(question, 0))[0].outcome is Outcome.REACHED
    world.spec = world.spec.model_copy(update={"containers": tuple(
        box.model_copy(update={"listens": (*box.listens, *box.listens)}) for box in world.spec.containers)})
    world.changed()
    with pytest.raises(PlumbError, match=r"listen tcp 0\.0\.0\.0:80: bind: address already in use"):
        world.ask(world.dial(question, 0))
