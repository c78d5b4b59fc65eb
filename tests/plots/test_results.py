"""Plots of results show the numbers of the tables."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retriever.errors import DataError
from retriever.plots import (
    plot_completeness,
    plot_completeness_map,
    plot_funnel,
    plot_scores,
    plot_sky,
    plot_sweep,
    plot_thresholds,
)


def axes(**words) -> Axes:
    return Figure().add_subplot(**words)


def test_scores_stand_beside_the_unit_normal_of_as_many_epochs() -> None:
    edges = np.linspace(-5, 5, 11)
    counts = np.array([0, 1, 20, 140, 340, 340, 140, 20, 1, 0])
    ax = plot_scores(edges, counts, axes(), thresholds=(4.0,))
    shown, expected = (patch.get_data().values for patch in ax.patches)
    np.testing.assert_array_equal(shown, counts)
    assert expected.sum() == pytest.approx(counts.sum(), rel=1e-5)
    assert expected[5] == pytest.approx(counts.sum() * 0.341345, rel=1e-4)
    assert [line.get_xdata()[0] for line in ax.lines] == [4.0] and ax.get_yscale() == "log"


def test_completeness_has_the_values_and_intervals_of_the_table() -> None:
    table = pd.DataFrame({
        "quantity": ["snr", "snr", "width"], "unit": ["", "", "d"], "from": [1.0, 4.0, 1.0], "to": [4.0, 16.0, 2.0],
        "completeness": [0.2, 0.9, 0.5], "low": [0.1, 0.8, 0.4], "high": [0.35, 0.95, 0.6],
        "efficiency": [0.1, 0.8, 0.4],
    })  # fmt: skip
    ax = plot_completeness(table, axes(), quantity="snr")
    (container,) = ax.containers
    np.testing.assert_allclose(container.lines[0].get_xdata(), [2.0, 8.0])
    np.testing.assert_allclose(container.lines[0].get_ydata(), [0.2, 0.9])
    (bars,) = container.lines[2]
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], [[0.1, 0.35], [0.8, 0.95]])
    assert plot_completeness(table, axes(), quantity="width").get_xlabel() == "width (d)"
    with pytest.raises(DataError, match=r"has a period \(known: snr, width\)"):
        plot_completeness(table, axes(), quantity="period")


def test_a_map_puts_each_bin_in_its_cell() -> None:
    bins = [
        {"snr_from": 1.0, "snr_to": 2.0, "width_from": 0.1, "width_to": 1.0, "completeness": 0.0},
        {"snr_from": 2.0, "snr_to": 4.0, "width_from": 1.0, "width_to": 10.0, "completeness": 1.0},
    ]
    ax = plot_completeness_map(bins, ["snr", "width"], axes())
    cells = ax.collections[0].get_array().reshape(2, 2)
    assert cells[0, 0] == 0.0 and cells[1, 1] == 1.0 and np.ma.is_masked(cells[0, 1])
    with pytest.raises(DataError, match="two quantities"):
        plot_completeness_map(bins, ["snr"], axes())


def test_thresholds_show_only_what_is_known() -> None:
    nan = float("nan")
    table = pd.DataFrame({
        "threshold": [5.0, 5.5], "completeness": [0.8, 0.6], "low": [0.7, 0.5], "high": [0.9, 0.7],
        "purity_flipped": [0.5, 1.0], "purity_shuffled": [nan, nan],
    })  # fmt: skip
    ax = plot_thresholds(table, axes())
    complete, purity = ax.lines
    np.testing.assert_array_equal(complete.get_ydata(), [0.8, 0.6])
    np.testing.assert_array_equal(purity.get_ydata(), [0.5, 1.0])


def test_a_sweep_is_in_the_order_of_its_parameter() -> None:
    table = {"finder.snr_threshold": [7.0, 5.0], "detections": [3, 21], "simulator": ["box", "gaussian"]}
    ax = plot_sweep(table, "finder.snr_threshold", "detections", axes())
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [5.0, 7.0])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [21, 3])
    assert len(plot_sweep(table, "simulator", "detections", axes()).patches) == 2
    with pytest.raises(DataError, match="no column 'x'"):
        plot_sweep(table, "x", "detections", axes())


def test_right_ascension_grows_to_the_left() -> None:
    ax = plot_sky(np.array([10.0, 20.0, 350.0]), np.array([0.0, 0.0, -30.0]), axes(projection="aitoff"),
                  marked=np.array([True, False, False]))  # fmt: skip
    x, y = np.asarray(ax.collections[0].get_offsets()).T
    assert x[1] < x[0] < 0 < x[2] and y[2] == pytest.approx(np.radians(-30.0))
    assert len(ax.collections[1].get_offsets()) == 1
    left, *_ = ax.get_xticklabels()
    assert left.get_text() == "150°"


def test_a_funnel_goes_from_top_to_bottom() -> None:
    ax = plot_funnel({"sources": 100, "with light curves": 80, "with detections": 3}, axes())
    assert [bar.get_width() for bar in ax.patches] == [3, 80, 100]
    assert [text.get_text() for text in ax.get_yticklabels()][::-1][0] == "sources"
