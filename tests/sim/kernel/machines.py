"""Small simulated machines for the kernel's tests, and a clock to run them with."""



from sim.fabric.fabric import Fabric
from sim.kernel.bridge import Bridge
from sim.kernel.effects import Effects
from sim.kernel.netns import Netns
from sim.kernel.veth import veth_pair
from sim.trace import Kind, Step


def pair() -> tuple[Netns, Netns]:
    """a (10.0.0.1/24) and b (10.0.0.2/24), joined by a veth pair `eth0`-`eth0`."""
    a, b = Netns("a"), Netns("b")
    veth_pair(a, "eth0", "02:00:00:00:00:01", b, "eth0", "02:00:00:00:00:02")
    a.add_address("eth0", "10.0.0.1/24")
    b.add_address("eth0", "10.0.0.2/24")
    return a, b


def switched(count: int = 3) -> tuple[Netns, Bridge, list[Netns]]:
    """A host with bridge `br0` (10.0.0.254/24) and `count` containers c1, c2… at 10.0.0.1, .2…; ports v1, v2…"""
    host = Netns("host")
    bridge = host.add_bridge("br0", "02:00:00:00:00:fe")
    host.add_address("br0", "10.0.0.254/24")
    boxes = []
    for n in range(1, count + 1):
        box = Netns(f"c{n}")
        veth_pair(host, f"v{n}", f"02:00:00:00:01:{n:02x}", box, "eth0", f"02:00:00:00:00:{n:02x}")
        host.enslave("br0", f"v{n}")
        box.add_address("eth0", f"10.0.0.{n}/24")
        box.add_route("default", dev="eth0", via="10.0.0.254")
        boxes.append(box)
    return host, bridge, boxes


def routed() -> tuple[Netns, Netns, Netns]:
    """left 10.1.0.2 - router (10.1.0.1, 10.2.0.1; forwarding on) - right 10.2.0.2, with default routes."""
    left, router, right = Netns("left"), Netns("router"), Netns("right")
    for n, box in ((1, left), (2, right)):
        veth_pair(router, f"r{n}", f"02:00:00:00:{n:02x}:01", box, "eth0", f"02:00:00:00:{n:02x}:02")
        router.add_address(f"r{n}", f"10.{n}.0.1/24")
        box.add_address("eth0", f"10.{n}.0.2/24")
        box.add_route("default", dev="eth0", via=f"10.{n}.0.1")
    router.sysctls["net.ipv4.ip_forward"] = "1"
    return left, router, right


def settle(effects: Effects, seconds: float = 10.0) -> list[Step]:
    """Run a walk and everything that follows from it for some simulated seconds; the steps in time order."""
    fabric = Fabric()
    fabric.walk(effects)
    fabric.env.run(until=seconds)
    return list(fabric.trace())


def seen(steps: list[Step], protocol: str = "") -> list[str]:
    """`point way packet` of every SEEN step, of packets whose text starts with `protocol`."""
    return [f"{s.point} {s.way}" for s in steps if s.kind is Kind.SEEN and str(s.packet).startswith(protocol)]


def packets(steps: list[Step], point: str) -> list[str]:
    """The packets that a sniffer at `point` sees, as text."""
    return [str(s.packet) for s in steps if s.kind is Kind.SEEN and s.point == point]


def drops(steps: list[Step]) -> list[str]:
    """Reasons of every drop, leaving out frames that a flood brought to the wrong host."""
    return [s.reason.name for s in steps if s.reason is not None and s.reason.name != "NOT_FOR_US"]
