import itertools

import numpy as np

from retriever.histogram import CONTEXT_AXES, SCORE_AXES, ScoreHistogram


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
    histogram.add(band, e["mag"], e["exptime"], e["qflag"], {"snr": e["snr"], "dmag": e["dmag"]})


def test_counts_are_those_of_a_plain_loop() -> None:
    e, histogram = epochs(300, 1), ScoreHistogram()
    add(histogram, e)
    counts = histogram.counts("snr", ["r"])[..., 0]
    axes = (SCORE_AXES[0], *CONTEXT_AXES)
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
