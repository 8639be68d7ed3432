"""Who is beside a container, against a look at every pair."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim import topology
from sim.questions.neighbours import Neighbours
from sim.spec import Spec


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    made = topology("t").host("h1").host("h2")
    for name in "abc":
        made = made.network(name)
    own: list[str] = []
    for number in range(draw(st.integers(1, 9))):
        mode = draw(st.sampled_from(["networks", "networks", "bridge", "host", "none", "container"]))
        host = draw(st.sampled_from(["h1", "h2"]))
        fields = {"host": host, "listens": []}
        if mode == "networks":
            fields["networks"] = sorted(draw(st.sets(st.sampled_from("abc"), min_size=1)))
        elif mode == "container" and own:
            shared = draw(st.sampled_from(own))
            fields |= {"mode": f"container:{shared}", "host": made.spec().container(shared).host}
        else:
            fields["mode"] = mode if mode != "container" else "none"
        made = made.container(f"c{number}", **fields)
        own.append(f"c{number}")
    return made.spec()


@given(specs())
def test_the_first_beside_and_apart_are_those_that_a_look_at_every_pair_finds(spec: Spec) -> None:
    boxes, found = list(spec.containers), Neighbours(spec, spec.containers)

    def share(one, other):
        return one.host == other.host and bool({*spec.networks_of(one.name)} & {*spec.networks_of(other.name)})

    for target in boxes:
        others = [box for box in boxes if spec.netns_of(box.name) != spec.netns_of(target.name)]
        assert found.beside(target) is next((box for box in others if share(box, target)), None)
        assert found.apart_from(target) is next(
            (box for box in others if not share(box, target) and box.mode in ("bridge", "networks")), None)
