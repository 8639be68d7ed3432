"""When questions are asked, where faults happen."""

from sim import topology
from sim.phases import phases


def when(builder):
    spec = builder.spec()
    return [(p.when, p.fault.name if p.fault else "", p.questions) for p in phases(spec, spec.questions)]


def two_faults():
    return (topology("t").container("a", mode="bridge")
            .fault("cut", "link down", "host").fault("crash", "engine killed", "host"))


def test_without_faults_all_is_asked_before() -> None:
    assert when(topology("t").container("a", mode="bridge").ask("host -> a").ask("client -> host")) == [
        ("before", "", (0, 1))]


def test_faults_come_in_the_specs_order_whatever_that_of_the_questions() -> None:
    asked = two_faults().ask("host -> a after crash").ask("host -> a during cut").ask("host -> a")
    assert when(asked) == [("before", "", (2,)), ("during", "cut", (1,)), ("after", "cut", ()),
                           ("during", "crash", ()), ("after", "crash", (0,))]


def test_a_fault_that_nobody_asks_about_does_not_happen() -> None:
    assert when(two_faults().ask("host -> a during crash")) == [
        ("before", "", ()), ("during", "crash", (0,)), ("after", "crash", ())]
