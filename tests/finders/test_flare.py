"""The flare finder against a plain loop over its definition, and against flares that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.errors import ConfigError
from retriever.finders.flare import FlareFinder
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet
from retriever.noise import scores_of_epochs
from tests.helpers import flat_lightcurve


def plain_flares(lc: Lightcurve, finder: FlareFinder) -> list[tuple[int, int, int, int]]:
    """(first, peak, last, n_epochs) of each flare, by loops over lists."""
    snr = scores_of_epochs(lc.flux, lc.flux_err, lc.usable, np.array([0, lc.n_epochs]), finder.noise)
    epochs = [k for k in range(lc.n_epochs) if lc.usable[k] and np.isfinite(snr[k])]
    runs: list[list[int]] = []
    for k in epochs:
        before = epochs[epochs.index(k) - 1] if epochs.index(k) else None
        joined = (
            before is not None
            and snr[k] >= finder.sideband
            and snr[before] >= finder.sideband
            and lc.time[k] - lc.time[before] <= finder.gap
        )
        if joined:
            runs[-1].append(k)
        elif snr[k] >= finder.sideband:
            runs.append([k])

    def qualifies(run: list[int]) -> bool:
        in_a_row = best = 0
        for k in run:
            in_a_row = in_a_row + 1 if snr[k] >= finder.snr_threshold else 0
            best = max(best, in_a_row)
        return best >= finder.consecutive

    merged: list[list[int]] = []
    for run in filter(qualifies, runs):
        if merged and lc.time[run[0]] - lc.time[merged[-1][-1]] < finder.merge:
            merged[-1] = [k for k in epochs if merged[-1][0] <= k <= run[-1]]
        else:
            merged.append(run)
    return [(run[0], max(run, key=lambda k: (snr[k], -k)), run[-1], len(run)) for run in merged]


EPOCHS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, -1.0, 1.5, 4.0, 5.0, 9.0, 20.0, float("nan")]),
        st.sampled_from([0.01, 0.01, 0.02, 0.05, 0.3]),
        st.booleans(),
    ),
    min_size=8,
    max_size=40,
)


@given(EPOCHS, st.sampled_from([1, 2, 3]), st.sampled_from([0.0, 0.03, 0.2]))
def test_flares_are_those_of_a_plain_loop(epochs: list[tuple[float, float, bool]], row: int, merge: float) -> None:
    flux, step, bad = (np.array(column) for column in zip(*epochs, strict=True))
    n = len(epochs)
    lc = flat_lightcurve(n, time=np.cumsum(step), flux=flux, qflag=bad & (np.arange(n) % 3 == 0), mag=np.zeros(n))
    finder = FlareFinder(consecutive=row, merge=merge, noise="errors")
    found = [(event.first, event.peak, event.last, event.n_epochs) for event in finder.find(lc)[1]]
    assert found == plain_flares(lc, finder)


def test_amplitude_width_and_equivalent_duration_of_a_triangle() -> None:
    # rises and falls by 10 an epoch of 0.01 d: 0, 10, 20, 30, 20, 10, 0 over a quiet 100
    flux = np.full(200, 100.0) + np.tile([0.3, -0.3], 100)
    flux[90:97] = [100, 110, 120, 130, 120, 110, 100]
    lc = flat_lightcurve(200, time=np.arange(200) * 0.01, flux=flux)
    _, (event,) = FlareFinder(noise="errors").find(lc)
    quiet = float(np.median(flux))
    assert (event.first, event.peak, event.last) == (91, 93, 95)
    assert event.amplitude == pytest.approx(130 - quiet)
    # trapezoids between the five epochs: 0.01 d (10/2 + 20 + 30 + 20 + 10/2), less what the median lies higher
    assert event.equivalent_duration == pytest.approx((0.8 - 0.04 * (quiet - 100)) * 86400 / quiet)
    assert event.width == pytest.approx(0.03)  # three epochs are at least half as high
    assert event.snr > 35 and event.fap < 1e-10


def test_light_curves_of_a_batch_do_not_touch() -> None:
    flux = np.full(50, 100.0) + np.tile([0.5, -0.5], 25)
    ends, begins = flux.copy(), flux.copy()
    ends[-2:], begins[:2] = 130.0, 130.0
    first = flat_lightcurve(50, flux=ends, time=np.arange(50) * 0.01)
    second = flat_lightcurve(50, flux=begins, time=0.5 + np.arange(50) * 0.01, number=1)
    (batch,) = LightcurveSet.of([(first,), (second,)]).batches
    assert FlareFinder().find_many(batch)[1]["member"].size == 0
    assert FlareFinder(consecutive=2).find_many(batch)[1]["member"].tolist() == [0, 1]


def test_noise_gives_no_flares() -> None:
    rng = np.random.default_rng(1)
    lightcurves = [(flat_lightcurve(5000, flux=100 + rng.standard_normal(5000), time=np.arange(5000) / 720),)] * 20
    (batch,) = LightcurveSet.of(lightcurves).batches
    assert FlareFinder().find_many(batch)[1]["member"].size == 0


def test_parameters_that_make_no_sense_are_refused() -> None:
    for wrong in ({"snr_threshold": 0.5}, {"consecutive": 0}, {"gap": 0.0}, {"noise": "x"}):
        with pytest.raises(ConfigError, match="finder"):
            FlareFinder(**wrong)
