"""Forecasts where something is drawn on the way: every way is predicted."""

from __future__ import annotations

from sim.build import topology
from sim.kernel.draws import Draws
from sim.predict import predict
from sim.trace import Outcome


def test_a_name_that_two_containers_share_leads_to_either_of_them() -> None:
    spec = (
        topology()
        .network("front")
        .container("one", networks={"front": {"aliases": ["web"]}}, listens=[80])
        .container("two", networks={"front": {"aliases": ["web"]}}, listens=[80])
        .container("asker", networks=["front"])
        .ask("asker -> web:80 tcp by name")
        .ask("asker -> one:80 tcp by name")
        .spec()
    )
    prediction = predict(spec)
    assert {answer.served_by for answer, _ in prediction.ways(0)} == {"one", "two"}
    assert [answer.served_by for answer, _ in prediction.ways(1)] == ["one"]
    assert all(answer.outcome is Outcome.REACHED for index in (0, 1) for answer, _ in prediction.ways(index))


def test_the_ways_of_several_draws_are_all_their_combinations() -> None:
    seen: set[tuple[int, int]] = set()
    wanted: list[int] | None = []
    while wanted is not None:
        draws = Draws(wanted)
        first = draws.draw(2)
        seen.add((first, draws.draw(3) if first else 7))
        assert draws.draw(1) == 0
        wanted = draws.next()
    assert seen == {(0, 7), (1, 0), (1, 1), (1, 2)}
