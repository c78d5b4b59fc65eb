"""What scrambling keeps and what it destroys."""

import numpy as np
import pytest

from retriever.detrending.none import NoDetrending
from retriever.errors import ConfigError
from retriever.finders.peak import PeakFinder
from retriever.outcome import Outcome
from retriever.scramblers.standard import Scrambler, flipped, shuffled
from retriever.stages.scramble import run
from tests.helpers import flat_lightcurve
from tests.stages.test_stages import PARTS, batch_of


def test_upside_down() -> None:
    flux = np.array([10.0, 12.0, 9.0, 50.0, 10.0])
    turned = flipped(flat_lightcurve(5, flux=flux))
    np.testing.assert_array_equal(turned.flux, [10.0, 8.0, 11.0, -30.0, 10.0])
    assert np.isnan(turned.mag[3]) and turned.mag[0] == pytest.approx(23.9 - 2.5)


def test_shuffling_keeps_the_distribution_and_the_times_and_leaves_out_events() -> None:
    rng = np.random.default_rng(1)
    lc = flat_lightcurve(2000, flux=np.where(np.arange(2000) == 7, 1e6, 100 + rng.standard_normal(2000)))
    bad = np.zeros(2000, bool)
    bad[100:120] = True
    lc = lc.replace(qflag=bad)
    quiet = np.arange(2000) != 7
    mixed = shuffled(lc, quiet, 0.0, rng)
    np.testing.assert_array_equal(mixed.time, lc.time)
    np.testing.assert_array_equal(mixed.flux[bad], lc.flux[bad])
    drawn = mixed.flux[~bad]
    assert set(drawn) <= set(lc.flux[~bad & quiet])
    assert (drawn.mean(), drawn.std()) == pytest.approx((100.0, 1.0), abs=0.1)


def test_blocks_keep_correlations_and_destroy_periods() -> None:
    rng = np.random.default_rng(2)
    noise = np.convolve(rng.standard_normal(20_030), np.ones(30) / 30**0.5, mode="valid")[:20_000]
    wave = 3.0 * np.sin(2 * np.pi * np.arange(20_000) / 1000)
    lc = flat_lightcurve(20_000, flux=100 + noise + wave)

    def correlation(values: np.ndarray, lag: int) -> float:
        return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])

    every = np.ones(20_000, bool)
    blocks, single = (shuffled(lc, every, block, rng).flux for block in (100.0, 0.0))
    assert correlation(blocks, 5) > 0.8 > 0.1 > abs(correlation(single, 5))
    assert abs(correlation(blocks, 1000)) < 0.1 < 0.7 < correlation(lc.flux, 1000)


def test_the_stage_counts_false_alarms_of_a_share_of_the_sources() -> None:
    rng = np.random.default_rng(3)
    lcs = [(flat_lightcurve(200, flux=100 + rng.standard_normal(200)),) for _ in range(40)]
    finder = PeakFinder(snr_threshold=3.0)
    batch = batch_of(*lcs, finder=finder)
    components = {**PARTS, "finder": finder, "detrend": NoDetrending(), "scrambler": Scrambler(share=0.5)}
    made = run(components, batch)
    done = made.outcome == Outcome.DONE
    assert 10 <= done.sum() <= 30
    assert set(made.outcome[~done].tolist()) == {Outcome.EMPTY}
    table = made.tables["false_alarms"]
    assert set(table["kind"].tolist()) <= {"flipped", "shuffled"}
    assert done[table["source"]].all()
    np.testing.assert_array_equal(made.n_rows, np.bincount(table["source"], minlength=40))
    # upside down, each detection has its mirror image
    known = batch.inputs["detections"]["detections"]
    mirrored = np.sort(-known["snr"][done[known["source"]]])
    np.testing.assert_allclose(np.sort(table["snr"][table["kind"] == "flipped"]), mirrored, rtol=1e-9)


def test_parameters_that_make_no_sense_are_refused() -> None:
    for wrong in ({"share": 2.0}, {"kinds": ("mixed",)}, {"block": -1.0}):
        with pytest.raises(ConfigError, match="scrambler"):
            Scrambler(**wrong)
