import itertools

import numpy as np
import pytest

from retriever.errors import ConfigError
from retriever.histogram import Bins, ContextBins, Histograms, ScoreHistogram, sparse_counts


def epochs(n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = {
        "mag": rng.uniform(5, 26, n), "exptime": rng.choice([1.0, 30.0, 1e5], n), "qflag": rng.random(n) < 0.2,
        "snr": rng.normal(0, 15, n), "dmag": rng.normal(0, 2, n),
    }  # fmt: skip
    values["mag"][:3] = np.nan
    values["snr"][3:6] = np.nan
    return values


def add(histogram: ScoreHistogram, e: dict[str, np.ndarray], band: str = "r") -> None:
    histogram.add_sparse(sparse_counts(histogram.histograms, band, e, ["snr", "dmag"]))


def test_counts_are_those_of_a_plain_loop() -> None:
    e, histogram = epochs(300, 1), ScoreHistogram()
    add(histogram, e)
    counts = histogram.counts("snr", ["r"])[..., 0]
    axes = (Histograms().score_axes["snr"], *Histograms().context_axes.values())
    expected = np.zeros_like(counts)
    for k in range(300):
        if np.isnan(e["snr"][k]):
            continue
        cell = []
        for axis, value in zip(axes, (e["snr"][k], e["mag"][k], e["exptime"][k]), strict=True):
            low, high = axis.limits()
            inside = [b for b in range(axis.size) if low[b] <= value < high[b]]
            cell.append(inside[0] if inside else axis.size - 1)
        expected[(0, *cell)] += 1
        expected[(2 if e["qflag"][k] else 1, *cell)] += 1
    np.testing.assert_array_equal(counts, expected)


def test_sums_do_not_depend_on_order_or_on_the_way() -> None:
    parts = [epochs(50, seed) for seed in range(3)]
    totals = []
    for order in itertools.permutations(parts):
        histogram = ScoreHistogram()
        for part in order:
            one = ScoreHistogram()
            add(one, part)
            histogram.add_sparse(one.sparse())
        totals.append(histogram.counts("dmag", ["r"]))
    for total in totals[1:]:
        np.testing.assert_array_equal(total, totals[0])
    whole = ScoreHistogram()
    for part in parts:
        add(whole, part)
    np.testing.assert_array_equal(whole.counts("dmag", ["r"]), totals[0])


def test_bands_are_apart() -> None:
    histogram = ScoreHistogram()
    add(histogram, epochs(10, 1), "g")
    add(histogram, epochs(20, 2), "r")
    assert histogram.bands == ["g", "r"]
    assert histogram.counts("dmag", ["g", "r"])[0].sum(axis=(0, 1, 2)).tolist() == [10, 20]


def test_scores_of_further_finders_have_the_axis_of_their_score() -> None:
    e, histogram = epochs(50, 1), ScoreHistogram()
    columns = {**e, "snr_flare": e["snr"], "unknown": e["snr"]}
    histogram.add_sparse(sparse_counts(histogram.histograms, "r", columns, ["snr", "snr_flare", "unknown"]))
    assert histogram.scores == ["snr", "dmag", "offset", "snr_flare"]
    np.testing.assert_array_equal(histogram.counts("snr_flare", ["r"]), histogram.counts("snr", ["r"]))
    assert histogram.counts("offset", ["r"]).sum() == 0


def test_axes_are_as_the_config_says() -> None:
    axes = Histograms(
        scores={"steps": Bins(low=0.0, high=1.0, bins=2), "steps_fine": Bins(edges=[0.0, 0.1, 1.0])},
        context={"airmass": ContextBins(column="airmass", low=1.0, high=3.0, bins=1)},
    )
    values = np.array([0.05, 0.7, 2.0])
    columns = {"qflag": np.zeros(3, bool), "airmass": np.array([1.5, 2.0, 9.0]), "steps": values,
               "steps_fine": values, "steps_fine_second": values}  # fmt: skip
    histogram = ScoreHistogram(histograms=axes)
    histogram.add_sparse(sparse_counts(axes, "r", columns, ["steps", "steps_fine", "steps_fine_second"]))
    assert histogram.counts("steps", ["r"])[0].sum(axis=(1, 2)).tolist() == [0, 1, 1, 1, 0]
    assert histogram.counts("steps", ["r"])[0].sum(axis=(0, 2)).tolist() == [0, 2, 1, 0]
    for name in ("steps_fine", "steps_fine_second"):
        assert histogram.counts(name, ["r"])[0].sum(axis=(1, 2)).tolist() == [0, 1, 1, 1, 0]
    without = ScoreHistogram(histograms=axes)
    del columns["airmass"]
    without.add_sparse(sparse_counts(axes, "r", columns, ["steps"]))
    assert without.counts("steps", ["r"])[0].sum(axis=(0, 2)).tolist() == [0, 0, 0, 3]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Bins(),
        lambda: Bins(low=1.0, high=0.0, bins=5),
        lambda: Bins(edges=[0.0, 0.0, 1.0]),
        lambda: Histograms(scores={"a b": Bins(low=0.0, high=1.0, bins=1)}),
        lambda: Histograms(scores={"filter": Bins(low=0.0, high=1.0, bins=1)}),
        lambda: Histograms(scores={"magnitude": Bins(low=0.0, high=1.0, bins=1)}),
        lambda: Histograms(scores={"snr": Bins(low=0.0, high=1.0, bins=10_000_000)}),
    ],
)
def test_wrong_axes_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="histograms"):
        wrong()
