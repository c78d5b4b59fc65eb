import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retriever.reducers.series import cut, group_rows


def columns(time: list[float]) -> dict[str, np.ndarray]:
    n = len(time)
    data = {name: np.arange(float(n)) for name in ("exptime", "flux", "flux_err", "mag", "mag_err")}
    return {
        **data,
        "time": np.array(time),
        "flag": np.arange(n),
        "qflag": np.zeros(n, bool),
        "tag": np.arange(n),
    }


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5, 10.0, 30.0, float("nan")]), min_size=1, max_size=20),
    st.sampled_from([0.0, 1.2, 5.0]),
)
def test_every_row_is_in_a_light_curve_or_counted_as_dropped(time: list[float], gap: float) -> None:
    data = columns(time)
    result = cut([(("r", ""), np.arange(len(time)))], data, gap=gap)
    kept = [int(tag) for lc in result.lightcurves for tag in lc.extra["tag"]]
    assert len(kept) + sum(result.dropped.values()) == len(time)
    told = [row for rows in result.dropped_rows.values() for row in rows.tolist()]
    assert sorted(kept + told) == list(range(len(time)))
    assert {reason: rows.size for reason, rows in result.dropped_rows.items()} == result.dropped
    assert len(set(kept)) == len(kept)
    finite = [t for t in time if t == t]
    assert sorted(t for lc in result.lightcurves for t in lc.time.tolist()) == sorted(set(finite))
    for lc in result.lightcurves:
        assert lc.flag.tolist() == lc.extra["tag"].tolist()
        assert lc.time.tolist() == [time[tag] for tag in lc.extra["tag"].tolist()]
        # of rows with the same time the first is kept
        assert all(time.index(t) == tag for t, tag in zip(lc.time.tolist(), lc.extra["tag"].tolist(), strict=True))
        if gap:
            assert (np.diff(lc.time) <= gap).all()
    for one, other in zip(result.lightcurves[:-1], result.lightcurves[1:], strict=True):
        assert not gap or other.time[0] - one.time[-1] > gap
    assert [(lc.number, lc.of) for lc in result.lightcurves] == [
        (k + 1, len(result.lightcurves)) for k in range(len(result.lightcurves))
    ]


def test_groups_by_two_keys() -> None:
    bands, ids = np.array(["g", "r", "g", "g"]), np.array([2, 1, 1, 2])
    assert [(key, rows.tolist()) for key, rows in group_rows(4, bands, ids)] == [
        (("g", "1"), [2]),
        (("g", "2"), [0, 3]),
        (("r", "1"), [1]),
    ]


def test_large_ids_stay_exact() -> None:
    big = 2**62
    assert [key for key, _ in group_rows(2, np.array([big + 1, big]))] == [(str(big),), (str(big + 1),)]
