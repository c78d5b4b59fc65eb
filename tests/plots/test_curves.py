"""Plots of light curves show what is there, with axes that say what they are."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retriever.errors import ConfigError, DataError
from retriever.lightcurve import TimeSystem
from retriever.plots import plot_event, plot_folded, plot_lightcurve, plot_periodogram
from retriever.plots.style import band_color
from tests.helpers import flat_lightcurve


def axes() -> Axes:
    return Figure().subplots()


def labels(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_magnitudes_grow_downward_and_instrumental_flux_upward() -> None:
    in_mag = plot_lightcurve(flat_lightcurve(), axes())
    assert in_mag.get_ylabel() == "magnitude" and in_mag.yaxis_inverted()
    in_flux = plot_lightcurve(flat_lightcurve(flux_unit="e-/s"), axes())
    assert in_flux.get_ylabel() == "flux (e-/s)" and not in_flux.yaxis_inverted()
    assert plot_lightcurve(flat_lightcurve(), axes(), values="flux").get_ylabel() == "flux (uJy)"
    with pytest.raises(ConfigError, match="auto, mag or flux"):
        plot_lightcurve(flat_lightcurve(), axes(), values="jansky")
    with pytest.raises(DataError, match="no light curve"):
        plot_lightcurve([], axes())


def test_the_time_axis_names_scale_and_reference() -> None:
    tess = flat_lightcurve(time_system=TimeSystem(scale="tdb", reference="barycenter"))
    assert plot_lightcurve(tess, axes()).get_xlabel() == "MJD (barycentric TDB)"
    assert plot_lightcurve([flat_lightcurve(), tess], axes()).get_xlabel() == "MJD (UTC), MJD (barycentric TDB)"


def test_good_epochs_are_points_in_the_colour_of_their_band_and_bad_ones_crosses() -> None:
    bad, flag = np.zeros(50, bool), np.zeros(50, int)
    bad[[3, 4, 9]], flag[9] = True, 16
    lc = flat_lightcurve(qflag=bad, flag=flag, band="g")
    ax = plot_lightcurve(lc, axes(), values="flux")
    of_label = {line.get_label(): line for line in ax.lines}
    points = ax.containers[0].lines[0]
    assert points.get_color() == band_color("g")
    np.testing.assert_array_equal(points.get_xdata(), lc.time[~bad])
    np.testing.assert_array_equal(points.get_ydata(), lc.flux[~bad])
    np.testing.assert_array_equal(of_label["bad: by its values"].get_xdata(), lc.time[[3, 4]])
    np.testing.assert_array_equal(of_label["bad: flagged by the survey"].get_xdata(), lc.time[[9]])
    assert set(labels(ax)) == {"g", "bad: flagged by the survey", "bad: by its values"}


def test_detections_are_shaded_injections_marked_and_reasons_told() -> None:
    lc = flat_lightcurve()
    found = {"time_first": 58010.0, "time_peak": 58011.0, "time_last": 58013.0}
    single = {"time_first": 58030.0, "time_peak": 58030.0, "time_last": 58030.0}
    ax = plot_lightcurve(lc, axes(), detections=[found, single], injections=[{"time_peak": 58040.0}],
                         reasons={"no time": 3})  # fmt: skip
    first, second = (patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches)
    assert (first.x0, first.x1) == pytest.approx((58010.0, 58013.0))
    assert second.x0 < 58030.0 < second.x1  # one epoch can be seen too
    assert any(list(line.get_xdata()) == [58040.0, 58040.0] for line in ax.lines)
    assert {"detection", "injected", "raw rows: 3 no time"} <= set(labels(ax))


def test_an_event_is_cut_out_with_its_surroundings() -> None:
    flux = flat_lightcurve().flux.copy()
    flux[20:23] += 50.0
    lc = flat_lightcurve(flux=flux, flux_unit="e-/s")
    row = {"first": 20, "peak": 21, "last": 22, "time_first": 58020.0, "time_peak": 58021.0, "time_last": 58022.0}
    ax = plot_event(lc, row, axes())
    low, high = ax.get_xlim()
    assert low <= 58010.0 and 58032.0 <= high < lc.time[-1]
    assert ax.get_ylim()[1] > flux[20:23].max()


def test_folding_shows_every_epoch_twice_at_its_phase() -> None:
    lc = flat_lightcurve()
    ax = plot_folded(lc, 7.0, axes(), epoch=58003.0, values="flux")
    first, second = (container.lines[0].get_xdata() for container in ax.containers)
    np.testing.assert_allclose(first, ((lc.time - 58003.0) / 7.0) % 1.0, atol=1e-9)
    np.testing.assert_allclose(second, first + 1.0)
    assert "7 d" in ax.get_xlabel() and ax.get_xlim() == (0.0, 2.0)
    with pytest.raises(ConfigError, match="above zero"):
        plot_folded(lc, 0.0, axes())


def test_a_periodogram_peaks_at_the_period_above_its_false_alarm_levels() -> None:
    time = 58000.0 + np.sort(np.random.default_rng(3).uniform(0.0, 60.0, 400))
    flux = 100.0 + 2.0 * np.sin(2 * np.pi * time / 3.7) + np.random.default_rng(4).standard_normal(400)
    lc = flat_lightcurve(n=400, time=time, flux=flux)
    ax = plot_periodogram(lc, axes())
    curve, *levels = ax.lines
    at = curve.get_xdata()[np.argmax(curve.get_ydata())]
    assert at == pytest.approx(3.7, rel=0.01)
    heights = [line.get_ydata()[0] for line in levels]
    assert len(heights) == 3 and heights == sorted(heights) and heights[-1] < curve.get_ydata().max()
    with pytest.raises(DataError, match="ten usable epochs"):
        plot_periodogram(flat_lightcurve(5), axes())


def test_without_axes_a_new_figure_is_made(monkeypatch) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    ax = plot_lightcurve(flat_lightcurve())
    try:
        assert ax.figure.number in plt.get_fignums()
    finally:
        plt.close("all")
