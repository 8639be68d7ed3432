import pytest

from sim.errors import SpecError
from sim.fabric.costs import NOMINAL, CostModel
from sim.fabric.fabric import Fabric
from sim.kernel.datagram import PingSocket
from sim.kernel.effects import Handoff, Wake, Work
from sim.packet import Packet, ip
from sim.trace import Kind, Step
from tests.sim.kernel.machines import pair, switched


def test_every_step_kind_has_a_nominal_price():
    assert set(Kind) < set(NOMINAL)


def test_steps_of_a_walk_are_stamped_one_after_the_other():
    fabric = Fabric(CostModel({Kind.ROUTE: 2.0, Kind.RULE: 0.5}))
    spent = fabric.walk(iter([Step(Kind.ROUTE, "a"), Step(Kind.RULE, "a", count=4), Step(Kind.ROUTE, "a")]))
    assert [s.at for s in fabric.trace()] == [0.0, 2.0, 4.0] and spent == 6.0


def test_packet_takes_the_time_of_the_steps_it_went_through():
    a, _ = pair()
    fabric = Fabric(CostModel({Kind.VETH: 0.1}))
    sock = PingSocket(a, 1)
    fabric.walk(sock.send(ip("10.0.0.2"), 1, b"", 0.0))
    fabric.env.run(until=10)
    answered = [s.at for s in fabric.trace() if s.kind is Kind.DELIVER and s.where == "a"]
    assert answered == [pytest.approx(0.4)], "ARP there and back, echo there and back: four veth crossings"


def test_free_steps_happen_in_no_time_and_in_order():
    a, _ = pair()
    fabric = Fabric(CostModel({}))
    fabric.walk(PingSocket(a, 1).send(ip("10.0.0.2"), 1, b"", 0.0))
    fabric.env.run(until=0.5)
    ways = [s.point for s in fabric.trace() if s.kind is Kind.SEEN and "echo-request" in str(s.packet)]
    assert ways == ["a:eth0", "b:eth0"] and {s.at for s in fabric.trace()} == {0.0}


def test_two_runs_give_the_same_trace():
    def run():
        a, _ = pair()
        fabric = Fabric()
        fabric.walk(PingSocket(a, 1).send(ip("10.0.0.2"), 1, b"", 0.0))
        fabric.env.run(until=5)
        return [{k: v for k, v in s.as_dict().items() if k != "packet"} for s in fabric.trace()]

    assert run() == run()


def test_file_that_is_no_cost_model_is_refused_in_one_line(tmp_path):
    path = tmp_path / "machine.json"
    path.write_text('{"prices": {"teleport": 1}}')
    with pytest.raises(SpecError, match=r"machine\.json: not a cost model"):
        CostModel.load(path)


def test_bridge_floods_to_every_port_before_anybody_answers():
    _, _, (c1, *_) = switched(6)
    fabric = Fabric(CostModel({Kind.VETH: 1e-6, Kind.BRIDGE: 1e-9}))
    fabric.walk(PingSocket(c1, 1).send(ip("10.0.0.2"), 1, b"", 0.0))
    fabric.env.run(until=0.5)
    arp = [s for s in fabric.trace() if s.kind is Kind.SEEN and s.where == "host" and s.packet.arp and s.way == "out"]
    assert [s.packet.arp.op for s in arp] == [1, 1, 1, 1, 1, 2]


def test_no_frame_arrives_before_it_was_sent():
    from sim import topology
    from sim.predict import predict

    spec = topology("t").container("a1", mode="bridge", listens=[80]).container("b1", mode="bridge").ask(
        "b1 -> a1:80 by ip direct").ask("host -> a1:80 by ip direct").spec()
    for trace in predict(spec).traces:
        out = {(s.packet.uid, s.where): s.at for s in trace if s.kind is Kind.SEEN and s.way == "out"}
        for step in trace:
            if step.kind is Kind.SEEN and step.way == "in" and step.where == "host":
                sender = "a1" if "a1" in step.device else "b1"
                assert out.get((step.packet.uid, sender), 0.0) <= step.at


class Sink:
    """Takes frames, which costs a route each."""

    point = ("sink", "eth0")

    def receive(self, packet, port, now):
        yield Step(Kind.ROUTE, "sink")


def test_a_woken_program_goes_on_when_no_frame_waits_any_more():
    """All are on one CPU, and softirqs go first."""
    fabric = Fabric(CostModel({Kind.ROUTE: 1.0}))
    waiter = fabric.env.event()
    went_on = []
    waiter.callbacks.append(lambda _: went_on.append(fabric.now))
    fabric.walk(iter([Wake(waiter), *(Handoff(Sink(), Packet()) for _ in range(3))]))
    fabric.env.run(until=10)
    assert went_on == [3.0]


def test_a_system_call_is_over_when_the_softirqs_are_through_that_it_set_off():
    fabric = Fabric(CostModel({Kind.ROUTE: 1.0, Kind.SEND: 0.5}))
    ended = []

    def program():
        yield fabric.call(iter([Step(Kind.SEND, "a"), Handoff(Sink(), Packet())]))
        ended.append(fabric.now)
        yield fabric.call(iter([Step(Kind.SEND, "a")]))
        ended.append(fabric.now)

    fabric.spawn(program())
    fabric.env.run(until=10)
    assert ended == [1.5, 2.0]


class Noter:
    """A device that writes down what comes."""

    point = ("a", "noter")

    def __init__(self, heard):
        self.heard = heard

    def receive(self, packet, port, now):
        self.heard.append(packet.payload.decode())
        yield Step(Kind.VETH, "a")


def test_a_kernel_thread_works_when_the_frames_are_through_and_who_was_woken_sleeps_again():
    fabric, heard = Fabric(), []
    noter = Noter(heard)
    waiting = fabric.env.event()

    def program():
        yield waiting
        yield fabric.call(iter([Handoff(noter, Packet(payload=b"program"))]))
        heard.append("asleep")

    def worked(_now):
        heard.append("worked")
        yield Handoff(noter, Packet(payload=b"handed on"))

    fabric.spawn(program())
    fabric.walk(iter([Work(worked), Wake(waiting), Handoff(noter, Packet(payload=b"frame"))]))
    fabric.env.run(until=1)
    assert heard == ["frame", "program", "asleep", "worked", "handed on"]
