import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.identity import canonical_hash, digest_bytes, random_stream

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_frozen_hashes() -> None:
    # these must never change, on any Python: every key of every product on disk hangs on them
    assert canonical_hash(None)[:16] == "28859e345f55ce45"
    tree = {"b": [1, 2.5, "x"], "a": None, "c": True}
    assert canonical_hash(tree)[:16] == "4a59d21b314f96ca"
    encoded = b"{s1:aN;s1:b[i1;f0x1.4000000000000p+1;s1:x]s1:cT;}"
    assert canonical_hash(tree) == hashlib.sha256(encoded).hexdigest()


@given(st.dictionaries(st.text(), PLAIN))
def test_order_of_keys_does_not_count(tree: dict[str, object]) -> None:
    assert canonical_hash(dict(reversed(tree.items()))) == canonical_hash(tree)


@given(PLAIN, PLAIN)
def test_different_things_differ(one: object, other: object) -> None:
    assert (repr(one).replace("-0.0", "0.0") == repr(other).replace("-0.0", "0.0")) or canonical_hash(
        one
    ) != canonical_hash(other)


def test_types_count_and_signs_of_zero_do_not() -> None:
    assert len({canonical_hash(value) for value in (1, 1.0, True, "1", b"1", None, [1])}) == 7
    assert canonical_hash(-0.0) == canonical_hash(0.0)
    assert canonical_hash(np.float64(0.1)) == canonical_hash(0.1)
    assert canonical_hash(["ab"]) != canonical_hash(["a", "b"])


def test_nan_and_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        canonical_hash({"x": math.nan})
    with pytest.raises(TypeError, match="plain data"):
        canonical_hash(object())
    with pytest.raises(TypeError, match="strings"):
        canonical_hash({1: 2})


def test_random_streams_do_not_depend_on_hashseed_or_process() -> None:
    code = "from retriever.identity import random_stream; print(random_stream(3, 'a', 'b').random())"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{random_stream(3, 'a', 'b').random()}\n"}
    assert random_stream(3, "a").random() != random_stream(4, "a").random() != random_stream(4, "ab").random()


def test_digest_is_of_bytes_and_arrays_alike() -> None:
    array = np.arange(5.0)
    assert digest_bytes(array) == digest_bytes(array.tobytes())
    assert digest_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223"  # SHA-256 of abc (FIPS 180-2), its first half
