from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retriever.identity import digest_each, join_digests, pack_digests, unpack_digests
from retriever.outcome import Outcome
from retriever.store.products import NOWHERE, Products, latest, name_needle, pack_products

NAMES = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), unique=True)
CODES = st.sampled_from([Outcome.DONE, Outcome.EMPTY, Outcome.FAILED, Outcome.BLOCKED, Outcome.PENDING])


def table(names: list[str], outcomes: list[Outcome], rows: int = 1) -> dict[str, object]:
    n = len(names)
    return {
        "name": np.array(names, np.str_),
        "input": digest_each(name.encode() for name in names),
        "digest": digest_each(f"{name}{rows}".encode() for name in names),
        "outcome": np.array([int(one) for one in outcomes], np.int8),
        "n_rows": np.full(n, rows),
        "message": np.array(["no" if one == Outcome.FAILED else "" for one in outcomes]),
    }


@given(NAMES.filter(bool), st.data())
def test_what_is_packed_comes_back(names: list[str], data: st.DataObject) -> None:
    outcomes = data.draw(st.lists(CODES, min_size=len(names), max_size=len(names)))
    packed = pack_products(table(names, outcomes, rows=1 << 40), segment=7)
    found = Products.unpack([packed, packed])
    n = len(names)
    assert found.names() == names * 2
    assert found.outcome.tolist() == [int(one) for one in outcomes] * 2
    assert found.row.tolist() == list(range(n)) * 2
    assert found.segment.tolist() == [7 if one in (Outcome.DONE, Outcome.EMPTY) else NOWHERE for one in outcomes] * 2
    assert set(found.n_rows.tolist()) == {1 << 40}
    assert set(found.message) == {k for k in range(2 * n) if outcomes[k % n] == Outcome.FAILED}
    for name in names:
        assert name_needle(name) in packed.names


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), CODES), unique_by=lambda one: one[0]), max_size=6))
def test_the_latest_entry_of_each_input_counts(batches: list[list[tuple[int, Outcome]]]) -> None:
    catalog = [f"s{k}" for k in range(10)]
    expected: dict[int, int] = {}
    entry = 0
    packed = []
    for batch in batches:
        if not batch:
            continue
        for k, code in batch:
            if code != Outcome.BLOCKED:
                expected[k] = entry
            entry += 1
        packed.append(pack_products(table([catalog[k] for k, _ in batch], [code for _, code in batch]), segment=1))
    found = latest(digest_each(name.encode() for name in catalog), Products.unpack(packed))
    assert found.tolist() == [expected.get(k, -1) for k in range(10)]


def test_digests_that_begin_alike_are_told_apart() -> None:
    one, other = b"a" * 16 + b"0" * 16, b"a" * 16 + b"1" * 16
    there = Products.unpack([pack_products({**table(["x"], [Outcome.DONE]), "input": np.array([other])}, segment=1)])
    assert latest(np.array([one]), there).tolist() == [-1]
    assert latest(np.array([other]), there).tolist() == [0]


def test_an_empty_digest_stays_empty_and_has_no_descendants() -> None:
    some = np.array([b"", b"0f" * 16])
    assert unpack_digests(pack_digests(some)).tolist() == some.tolist()
    assert join_digests(some, digest_each([b"x", b"y"]))[0] == b""


def test_digests_survive_a_change_of_byte_order() -> None:
    products = Products.unpack([pack_products(table(["x", "y"], [Outcome.DONE, Outcome.EMPTY]), segment=1)])
    native = replace(
        products, inputs=products.inputs.astype(np.uint64), digests=np.concatenate([products.digests, products.digests])
    )
    assert native.input.tolist() == products.input.tolist() == digest_each([b"x", b"y"]).tolist()
    assert native.digest.tolist() == products.digest.tolist() * 2
    assert native.digest_of(np.array([3])).tolist() == products.digest_of(np.array([1])).tolist()
