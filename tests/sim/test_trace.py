import json

from sim.packet import IPv4, Packet, Udp
from sim.trace import DropReason, Kind, Step, Trace


def test_projection_keeps_only_what_sniffers_at_those_points_can_see():
    steps = [
        Step(Kind.SEEN, "web", "eth0", way="out"), Step(Kind.ROUTE, "web"),
        Step(Kind.SEEN, "host", "docker0", way="in"),
    ]
    assert [s.point for s in Trace(steps).observed(["host:docker0"])] == ["host:docker0"]


def test_projection_keeps_the_count_of_lost_frames():
    assert Trace([], lost=3).observed([]).lost == 3


def test_trace_is_plain_json():
    step = Step(Kind.DROP, "host", packet=Packet(ip=IPv4(1, 2, 17), l4=Udp(1, 2)), detail="x", reason=DropReason.POLICY)
    row = json.loads(json.dumps(Trace([step]).as_dict()))["steps"][0]
    assert row["reason"] == "dropped by a chain's policy" and row["headers"]["ip.dst"] == "0.0.0.2"


def test_trace_is_known_again_from_its_json():
    packet = Packet(ip=IPv4(1, 2, 17), l4=Udp(1, 2), payload=b"abc")
    trace = Trace([
        Step(Kind.SEEN, "web", "eth0", packet, way="out", at=0.5),
        Step(Kind.DROP, "host", packet=packet, detail="x", reason=DropReason.POLICY),
    ], lost=1)
    again = Trace.from_dict(json.loads(json.dumps(trace.as_dict())))
    rows = [[{k: v for k, v in s.as_dict().items() if k != "packet"} for s in t] for t in (trace, again)]
    assert rows[0] == rows[1] and again.lost == 1
