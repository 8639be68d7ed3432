import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.performance import bulk
from sim.errors import SpecError

STEPS = {"short": 2.0, "middle": 5.0, "long": 9.0, "longer": 14.0, "longest": 20.0}
PRIOR = {"byte": 1.0e-10, "path": 1.0}
TRUTH = {"byte": 1.4e-10, "path": 0.8}


def carried(way, prices):
    """A sender that is always busy: 64 KiB for each passage of the way."""
    return 65536 * 8 / (65536 * prices["byte"] + 1e-6 * STEPS[way] * prices["path"])


def measured(truth=TRUTH):
    return {way: carried(way, truth) for way in STEPS}


def test_a_fit_finds_the_prices_that_the_streams_were_made_with():
    fitted = bulk.fit(carried, measured(), PRIOR)
    assert fitted.prices["byte"] == pytest.approx(TRUTH["byte"], rel=0.03)
    assert fitted.prices["path"] == pytest.approx(TRUTH["path"], rel=0.05)
    assert max(map(abs, fitted.missing.values())) < 0.01


def test_a_way_that_is_left_out_is_predicted_by_the_others():
    fitted = bulk.fit(carried, measured(), PRIOR)
    for way in STEPS:
        assert carried(way, fitted.without([way]).prices) == pytest.approx(carried(way, TRUTH), rel=0.03)


def test_what_is_left_out_does_not_move_the_prices():
    odd = {**measured(), "long": measured()["long"] * 1.3}
    plain, moved = (bulk.fit(carried, found, PRIOR).without(["long"]) for found in (measured(), odd))
    for name in PRIOR:
        assert moved.prices[name] == pytest.approx(plain.prices[name], rel=0.02)


def test_one_stream_that_is_far_off_pulls_little():
    odd = {**measured(), "middle": measured()["middle"] / 3}
    fitted = bulk.fit(carried, odd, PRIOR)
    others = [way for way in STEPS if way != "middle"]
    assert max(abs(math.log(carried(way, fitted.prices) / odd[way])) for way in others) < 0.2


def test_an_interval_holds_its_value_and_is_wider_where_rounds_differ_more():
    widths = []
    for spread in (0.01, 0.2):
        rounds = {way: [speed * (1 - spread), speed, speed * (1 + spread)] for way, speed in measured().items()}
        fitted = bulk.fit(carried, measured(), PRIOR).without(["long"])
        draws = fitted.draws({way: rounds[way] for way in fitted.missing})
        found = fitted.interval(carried("long", fitted.prices), "long", draws)
        assert found.low <= found.value <= found.high
        widths.append(found.high / found.low)
    assert widths[0] < widths[1]


def test_progress_counts_each_simulation():
    seen = []
    bulk.fit(carried, measured(), PRIOR, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == len(seen)


@settings(max_examples=20)
@given(st.floats(0.6, 1.6), st.floats(0.5, 2.0))
def test_prices_within_reach_of_the_prior_are_found(byte, path):
    truth = {"byte": 1e-10 * byte, "path": path}
    fitted = bulk.fit(carried, measured(truth), PRIOR)
    assert np.allclose([carried(way, fitted.prices) for way in STEPS], list(measured(truth).values()), rtol=0.05)


def test_nothing_measured_is_no_fit():
    with pytest.raises(SpecError):
        bulk.fit(carried, {}, PRIOR)
    with pytest.raises(SpecError):
        bulk.fit(carried, measured(), PRIOR).without(list(STEPS))


NOISE = {"short": 0.5, "middle": 0.7, "long": 0.9, "longer": 1.1, "longest": 1.2}
"""What is left of each stream on a machine that is busy, or meanwhile less so."""


def in_segments(way, prices):
    """Segments are nearly all that counts. Where the path is so dear that the few milliseconds that are simulated are
    over before the stream has begun, it collapses."""
    whole = 1e-6 * (40 * STEPS[way] * prices["segment"] + 8 * prices["path"]) + 65536 * prices["byte"]
    return 65536 * 8 / whole / (1 if prices["path"] < 2.5 else 30)


SEGMENTS = {"byte": 1e-10, "path": 0.8, "segment": 0.8}


def noisy():
    return {way: in_segments(way, SEGMENTS) * share for way, share in NOISE.items()}


def test_streams_of_a_noisy_machine_drive_no_price_to_where_a_short_simulation_collapses():
    fitted = bulk.fit(in_segments, noisy(), SEGMENTS)
    assert fitted.prices["path"] < 2.5
    for way in STEPS:
        assert in_segments(way, fitted.without([way]).prices) == pytest.approx(noisy()[way], rel=1.0)


def test_a_step_after_which_streams_fit_much_worse_is_not_taken():
    def bent(way, prices):
        """A path that is cheaper than at the prior is no way to more throughput, whatever the slope there says."""
        return carried(way, prices) / (1 if prices["path"] > 0.9 else 3)

    fitted = bulk.fit(bent, measured({"byte": 1e-10, "path": 0.5}), PRIOR)
    assert fitted.prices["path"] > 0.9
