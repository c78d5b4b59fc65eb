import numpy as np
import pytest

from retriever.analysis.standard import StandardAnalysis
from retriever.finders.peak import PeakFinder
from retriever.quality.standard import StandardQuality
from retriever.source import Source
from tests.helpers import flat_lightcurve

SOURCE = Source(name="X", ra=0.0, dec=0.0)


def test_properties_sum_up_all_light_curves() -> None:
    dip = np.full(20, 100.0) + np.tile([1.0, -1.0], 10)
    dip[7] = 50.0
    one = flat_lightcurve(20, flux=dip, number=1, of=2)
    bad = np.zeros(50, bool)
    bad[:40] = True
    two = flat_lightcurve(50, band="g", qflag=bad, number=2, of=2)
    result = StandardAnalysis().analyze(SOURCE, (one, two), StandardQuality(), PeakFinder())
    values = {name: value for name, (value, _) in result.properties.items()}
    assert (values["n_lightcurves"], values["n_epochs"], values["n_good"], values["n_detections"]) == (
        2,
        70,
        30,
        1,
    )
    assert values["best_snr"] == pytest.approx(result.detections[0].snr)
    assert values["best_snr"] < -8
    assert values["mag_band"] == "r"
    assert values["mag_mean"] == pytest.approx(np.median(one.mag))
    assert result.detections[0].lightcurve == 1
    assert [set(lc.extra) for lc in result.lightcurves] == [{"snr", "dmag"}] * 2
    assert {unit for _, unit in result.properties.values()} == {"", "mag", "d"}


def test_a_source_without_usable_epochs_has_properties_too() -> None:
    lc = flat_lightcurve(3, qflag=np.ones(3, bool))
    result = StandardAnalysis().analyze(SOURCE, (lc,), StandardQuality(), PeakFinder())
    assert np.isnan(result.properties["best_snr"][0])
    assert result.properties["n_good"] == (0, "")
