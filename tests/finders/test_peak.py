"""The finder against a plain loop that follows its documented definition."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.errors import ConfigError
from retriever.finders.matched_filter import MatchedFilter
from retriever.finders.peak import PeakFinder
from retriever.lightcurve import Lightcurve
from retriever.noise import false_alarm_probability, scores_of_epochs
from tests.helpers import flat_lightcurve


def plain_search(lc: Lightcurve, finder: PeakFinder) -> list[tuple[int, int, int, int]]:
    """(first, peak, last, n_epochs) of each event, by loops over lists."""
    flux = lc.flux.tolist()
    usable = [k for k in range(len(flux)) if not lc.qflag[k] and np.isfinite(flux[k])]
    if not usable:
        return []
    if len(usable) < finder.min_epochs:
        return []
    # the scores are tested by themselves (tests/test_noise.py)
    scores = scores_of_epochs(lc.flux, lc.flux_err, lc.usable, np.array([0, lc.n_epochs]), finder.noise).tolist()
    snr = {k: scores[k] for k in usable if not np.isnan(scores[k])}
    order = [k for k in usable if k in snr]
    height = {k: {"both": abs(s), "brightening": s, "dip": -s}[finder.direction] for k, s in snr.items()}
    taken: set[int] = set()
    events = []
    while len(events) < finder.max_events:
        free = [k for k in order if k not in taken]
        if not free:
            break
        peak = max(free, key=lambda k: (height[k], -k))
        if height[peak] < finder.snr_threshold:
            break
        sign = 1 if snr[peak] > 0 else -1

        def belongs(k: int, sign: int = sign, taken: frozenset[int] = frozenset(taken)) -> bool:
            return k not in taken and sign * snr[k] >= finder.sideband

        members = [peak]
        at = order.index(peak)
        for step in (-1, 1):
            k = at + step
            while 0 <= k < len(order) and belongs(order[k]):
                members.append(order[k])
                k += step
        taken |= set(members)
        events.append((min(members), peak, max(members), len(members)))
    return sorted(events, key=lambda event: event[1])


def found(lc: Lightcurve, finder: PeakFinder) -> list[tuple[int, int, int, int]]:
    return [(event.first, event.peak, event.last, event.n_epochs) for event in finder.find(lc)[1]]


VALUE = st.sampled_from([0.0, 1.0, -1.0, 2.5, -2.5, 6.0, -6.0, 12.0, 30.0, float("nan")]) | st.floats(-50, 50)
EPOCH = st.tuples(VALUE, st.sampled_from([0.0, 0.5, 1.0, float("nan")]), st.booleans())


@given(
    st.lists(EPOCH, min_size=1, max_size=30),
    st.sampled_from(["both", "brightening", "dip"]),
    st.sampled_from([1, 2, 10]),
    st.sampled_from([0.5, 2.0, 100.0]),
)
def test_events_are_those_of_a_plain_loop(
    epochs: list[tuple[float, float, bool]], direction: str, most: int, sideband: float
) -> None:
    flux, err, bad = (np.array(column) for column in zip(*epochs, strict=True))
    lc = flat_lightcurve(len(epochs), flux=flux, flux_err=err, qflag=bad, mag=np.zeros(len(epochs)))
    finder = PeakFinder(snr_threshold=3.0, sideband=sideband, direction=direction, max_events=most)
    assert found(lc, finder) == plain_search(lc, finder)


def test_hand_worked_event_with_a_bad_epoch_in_it() -> None:
    flux = np.array([0.0, 1.0, -1.0, 1.0, -1.0, 30.0, 900.0, 20.0, 0.0, -1.0, 1.0])
    qflag = np.zeros(11, bool)
    qflag[6] = True
    lc = flat_lightcurve(11, flux=flux, flux_err=np.ones(11), qflag=qflag, mag=np.zeros(11))
    scores, (event,) = PeakFinder().find(lc)
    assert (event.first, event.peak, event.last, event.n_epochs) == (5, 5, 7, 2)
    # the nine others have the median 0; with errors taken as stated, its variance is π / 2 / 9.571 of theirs
    (trusting,) = PeakFinder(noise="errors").find(lc)[1]
    assert trusting.snr == pytest.approx(30.0 / (1 + np.pi / 2 / 9.571) ** 0.5)
    assert trusting.amplitude == pytest.approx(30.0 - 0.5)
    assert event.snr < trusting.snr
    assert scores["snr"][6] > 20  # scored, for the histograms, but no event


def test_stated_errors_count_where_they_are_trusted() -> None:
    lc = flat_lightcurve(9, flux=[0, 0.1, -0.1, 0, 20.0, 0.1, 0, -0.1, 0], flux_err=np.full(9, 5.0), mag=np.zeros(9))
    assert found(lc, PeakFinder(noise="errors")) == []
    (event,) = PeakFinder(noise="errors", snr_threshold=3.5).find(lc)[1]
    assert event.snr == pytest.approx(4.0 / (1 + np.pi / 2 / 9.3) ** 0.5)
    assert found(lc, PeakFinder()) == [(4, 4, 4, 1)]


def test_a_light_curve_without_errors_is_searched() -> None:
    flux = np.random.default_rng(1).standard_normal(100)
    flux[50] = 12.0
    lc = flat_lightcurve(100, flux=flux, flux_err=np.full(100, np.nan))
    assert found(lc, PeakFinder()) == [(50, 50, 50, 1)]
    assert found(lc, PeakFinder(noise="errors")) == [(50, 50, 50, 1)]


def test_the_false_alarm_probability_is_that_of_the_whole_curve() -> None:
    flux = np.random.default_rng(1).standard_normal(100)
    flux[50] = 6.0
    lc = flat_lightcurve(100, flux=flux)
    (event,) = PeakFinder().find(lc)[1]
    assert event.fap == false_alarm_probability(np.array(event.snr), 100)
    (event,) = PeakFinder(direction="brightening").find(lc)[1]
    assert event.fap == false_alarm_probability(np.array(event.snr), 100, two_sided=False)


@pytest.mark.parametrize("finder", [PeakFinder, MatchedFilter])
def test_a_dip_is_as_improbable_as_a_brightening(finder: type) -> None:
    flux = np.random.default_rng(1).standard_normal(100)
    flux[50] = 30.0
    parameters = {} if finder is PeakFinder else {"shape": "box", "shortest": 0.5, "longest": 2.0}
    for direction in ("both", None):
        faps = []
        for sign, own in ((1, "brightening"), (-1, "dip")):
            lc = flat_lightcurve(100, flux=sign * flux, flux_err=np.ones(100))
            found = finder(direction=direction or own, **parameters).find(lc)[1]
            faps.append(max(found, key=lambda event: abs(event.snr)).fap)
        assert faps[0] == pytest.approx(faps[1]) and faps[0] < 1e-6


def test_few_epochs_are_not_searched() -> None:
    lc = flat_lightcurve(20, flux=[0.0, 1.0, -1.0, 0.5] * 4 + [0.0, 50.0, 0.0, 1.0])
    assert found(lc, PeakFinder(min_epochs=20)) == [(17, 17, 17, 1)]
    assert found(lc, PeakFinder(min_epochs=21)) == []


def test_two_events_mask_only_themselves() -> None:
    flux = np.zeros(30) + np.tile([1.0, -1.0], 15)
    flux[10:13] = [50, 100, 50]
    flux[14:16] = [-40, -20]
    lc = flat_lightcurve(30, flux=flux, mag=np.zeros(30))
    assert found(lc, PeakFinder()) == [(10, 11, 12, 3), (14, 14, 15, 2)]
    assert found(lc, PeakFinder(direction="dip")) == [(14, 14, 15, 2)]
    assert found(lc, PeakFinder(max_events=1)) == [(10, 11, 12, 3)]


def test_nothing_usable_nothing_found() -> None:
    lc = flat_lightcurve(3, flux=np.full(3, np.nan), mag=np.full(3, np.nan))
    scores, events = PeakFinder().find(lc)
    assert events == ()
    assert np.isnan(scores["snr"]).all()


def test_parameters_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="direction"):
        PeakFinder(direction="up")
    with pytest.raises(ConfigError, match="noise"):
        PeakFinder(noise="guess")
    with pytest.raises(ConfigError, match="above zero"):
        PeakFinder(snr_threshold=0.0)


def test_real_light_curves_of_ztf(real_data: Path) -> None:
    for path in sorted((real_data / "ztf").glob("irsa_[0-9]*.csv")):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        for oid in {row["oid"] for row in rows}:
            mine = sorted((row for row in rows if row["oid"] == oid), key=lambda row: float(row["mjd"]))
            flux = np.array([10 ** (0.4 * (23.9 - float(row["mag"]))) for row in mine])
            err = flux * np.array([float(row["magerr"]) for row in mine]) * np.log(10) / 2.5
            lc = flat_lightcurve(
                len(mine), time=[float(row["mjd"]) for row in mine], flux=flux, flux_err=err,
                qflag=[bool(int(row["catflags"]) & 32768) for row in mine],
            )  # fmt: skip
            assert found(lc, PeakFinder()) == plain_search(lc, PeakFinder())
