"""Searches of real stars, with the settings of the shipped experiments, against what is known of them."""

from pathlib import Path

import numpy as np
import pytest

from retriever.composition.compose import compose
from retriever.composition.request import ConfigRequest
from retriever.config import build_setup
from retriever.detection import Detection
from retriever.finders.lomb_scargle import LombScargleFinder
from retriever.finders.matched_filter import MatchedFilter
from retriever.formats import read_table
from retriever.lightcurve import Lightcurve
from retriever.quality.standard import StandardQuality
from retriever.rawtable import RawPhotometry
from retriever.reducers.tess import TESSReducer
from retriever.reducers.ztf import ZTFReducer
from retriever.source import Source

AU_MIC = "tess/tess2018206045859-s0001-0000000441420236-0120-s_lc.fits"
FLARE_STAR = "tess/tess2018206045859-s0001-0000000358108509-0120-s_lc.fits"
TOI_216 = "tess/hlsp_tess-data-alerts_tess_phot_00055652896-s01_tess_v1_lc.fits"

PLANETS = [
    ("tess/hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits", 3.289),  # WASP-126
    ("tess/tess2020106103520-s0024-0000000188589164-0180-s_lc.fits", 2.6163),  # GJ 3929, three pipelines
    ("tess/hlsp_tess-spoc_tess_phot_0000000188589164-s0024_tess_v1_lc.fits", 2.6163),
    ("tess/hlsp_qlp_tess_ffi_s0024-0000000188589164_tess_v01_llc.fits", 2.6163),
    ("tess/tess2019085135100-s0010-0000000073228647-0140-s_lc.fits", 2.541),  # HD 110113
    ("kepler/kplr010666592-2009131110544_slc.fits", 2.2047),  # HAT-P-7
]


def read(path: Path) -> Lightcurve:
    """The light curve of a file, with bad epochs marked."""
    source = Source(name="star", ra=0.0, dec=0.0)
    (lc,) = TESSReducer().reduce(source, RawPhotometry(tables=(read_table(path),))).lightcurves
    return StandardQuality().assess(source, lc)


def searched(experiment: str, lc: Lightcurve) -> tuple[Detection, ...]:
    """What an experiment finds in a light curve."""
    parts = build_setup(
        compose(ConfigRequest(overrides=(f"experiment={experiment}", "paths.lightcurves=x")))
    ).components
    return parts["finder"].find(parts["detrend"].detrend(lc))[1]


@pytest.mark.parametrize(("name", "period"), PLANETS)
def test_known_planets_have_their_periods(real_data: Path, name: str, period: float) -> None:
    (planet,) = searched("transits_tess", read(real_data / name))
    assert planet.period == pytest.approx(period, rel=2e-3)
    assert planet.odd_even < 4


def test_two_planets_of_one_star_are_not_taken_for_one(real_data: Path) -> None:
    # TOI-216 b and c transit once or twice each in this sector, with depths of 0.4 and 1.5 %
    found = searched("transits_tess", read(real_data / TOI_216))
    assert all(planet.odd_even > 10 for planet in found)


def test_deep_transits_of_two_planets_are_events(real_data: Path) -> None:
    # Dawson et al. 2019 (AJ 158, 65): c at BTJD 1331.285, b at 1325.328 and 1342.431
    parts = build_setup(
        compose(ConfigRequest(overrides=("experiment=transits_tess", "paths.lightcurves=x")))
    ).components
    finder = MatchedFilter(shape="trapezoid", shortest=0.05, longest=0.5, direction="dip", snr_threshold=7.0)
    found = finder.find(parts["detrend"].detrend(read(real_data / TOI_216)))[1]
    assert [event.time_peak - 56999.5 for event in found] == pytest.approx([1325.328, 1331.285, 1342.431], abs=0.01)
    assert max(event.fap for event in found) < 1e-8
    deepest = max(found, key=lambda event: -event.amplitude)
    assert deepest is found[1]


def plain_flares(lc: Lightcurve) -> list[tuple[float, float]]:
    """Time and height of the peaks of what stands out of a running median by 5 sigma for four epochs; by loops.

    Near the ends of the sector and of the gap in it no median is to be trusted, and nothing is told.
    """
    time, flux = lc.time[lc.usable], lc.flux[lc.usable]
    first, last = np.searchsorted(time, time - 0.2), np.searchsorted(time, time + 0.2)
    excess = flux - [np.median(flux[a:b]) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    sigma = 1.4826 * np.median(np.abs(excess))
    runs: list[list[int]] = []
    for k in np.flatnonzero(excess > 5 * sigma).tolist():
        if runs and k - runs[-1][-1] <= 10:
            runs[-1].append(k)
        else:
            runs.append([k])
    far = np.concatenate([[time[0]], time[1:][np.diff(time) > 0.5], time[:-1][np.diff(time) > 0.5], [time[-1]]])
    tops = [max(run, key=lambda k: excess[k]) for run in runs if len(run) >= 4]
    return [(time[k], excess[k]) for k in tops if np.abs(far - time[k]).min() > 0.2]


def test_flares_of_au_mic_are_found_once_and_whole(real_data: Path) -> None:
    lc = read(real_data / AU_MIC)
    found, expected = searched("flares_tess", lc), plain_flares(lc)
    assert len(expected) >= 18
    heights = []
    for time, height in expected:
        mine = [flare.amplitude for flare in found if flare.time_first <= time <= flare.time_last]
        assert len(mine) <= 1
        heights += [amplitude / height for amplitude in mine]
    assert len(heights) >= max(18, 0.95 * len(expected))
    assert min(heights) > 0.8  # none is flattened
    # none is doubled: the next flare begins half an hour later at least
    assert np.diff([flare.time_first for flare in found]).min() > 0.02


def test_flares_of_a_faint_flare_star_are_found(real_data: Path) -> None:
    lc = read(real_data / FLARE_STAR)
    found = searched("flares_tess", lc)
    strongest = max(found, key=lambda flare: flare.snr)
    top = np.flatnonzero(lc.usable)[np.argmax(lc.flux[lc.usable])]
    assert strongest.first <= top <= strongest.last
    assert strongest.equivalent_duration > 100


def test_the_rotation_of_au_mic(real_data: Path) -> None:
    (rotation,) = LombScargleFinder().find(read(real_data / AU_MIC))[1]
    assert rotation.period == pytest.approx(4.87, rel=0.01)


ZTF = {  # name in Gaia DR3, and what is known
    "periodic transits": 103999471976858496,
    "pulsator": 3984115430179696128,
    "cataclysmic": 3750072904055666176,
    "quiet": 1410345596469085184,
}


def test_variables_of_ztf_stand_above_quiet_stars(real_data: Path) -> None:
    parts = build_setup(
        compose(ConfigRequest(overrides=("experiment=ztf_variables", "paths.lightcurves=x", "catalog.path=x")))
    ).components
    best: dict[str, float] = {}
    periods: dict[str, list[float]] = {}
    for kind, number in ZTF.items():
        source = Source(name=str(number), ra=0.0, dec=0.0)
        table = read_table(real_data / "ztf" / f"irsa_{number}.csv")
        reducer = ZTFReducer(max_separation=1e9, max_mag_difference=0.0)
        heights, own = [0.0], []
        for lc in reducer.reduce(source, RawPhotometry(tables=(table,))).lightcurves:
            for event in parts["finder"].find(StandardQuality().assess(source, lc))[1]:
                heights.append(abs(event.snr))
                own += [event.period] if np.isfinite(event.period) else []
        best[kind], periods[kind] = max(heights), own
    assert min(best["periodic transits"], best["cataclysmic"]) > 10 > best["quiet"]
    # the same period in every band
    assert len(periods["periodic transits"]) >= 3
    np.testing.assert_allclose(periods["periodic transits"], np.median(periods["periodic transits"]), rtol=1e-3)
