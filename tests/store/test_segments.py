import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retriever.errors import SegmentError, StoreError
from retriever.store.files import safe_name
from retriever.store.packing import pack
from retriever.store.segments import read, sizes_below, write

DTYPES = st.sampled_from(["f4", "f8", "i2", "i8", "u1", "?", "U5", "S3"])
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5)
COLUMN = DTYPES.flatmap(lambda dtype: arrays(dtype, st.integers(0, 6), elements=TEXT if dtype == "U5" else None))


@given(st.dictionaries(st.text(max_size=6), COLUMN, max_size=4))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, np.ndarray]
) -> None:
    folder = tmp_path_factory.mktemp("s")
    file = write(folder, "a/RA000", "RA000", pack({"x": 1}, {"t": columns}))
    story, tables = read(folder / file.path)
    assert story == {"x": 1}
    assert set(tables.get("t", {})) == set(columns)
    for name, values in columns.items():
        found = tables["t"][name]
        assert found.shape == values.shape
        assert found.dtype.kind == values.dtype.kind
        if values.dtype.kind in "US":
            assert found.tolist() == values.tolist()
        else:
            assert found.dtype == values.dtype
            assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i8", "u1", "?", "U5", "S3"])
@pytest.mark.parametrize("table", ["epochs", "sources"])
def test_long_columns_come_back_and_repeated_values_take_little(tmp_path: Path, table: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    random = rng.random(20_000) if dtype == "f8" else rng.integers(0, 120, 20_000).astype(dtype)
    for values, share in ((np.repeat(random[:200], 100), 0.2), (random, 1.1)):
        image = pack({}, {table: {"name": np.arange(values.size), "x": values}})
        bare = pack({}, {table: {"name": np.arange(values.size), "x": values[:1].repeat(values.size)}})
        stored = values.astype("S5") if dtype == "U5" else values
        assert len(image) - len(bare) < share * stored.nbytes
        file = write(tmp_path, "f/RA012", "RA012", image)
        found = read(tmp_path / file.path)[1][table]["x"]
        assert found.tolist() == values.tolist()
        assert found.dtype == (np.dtype("U3") if (table, dtype) == ("sources", "U5") else values.dtype)
        with h5py.File(tmp_path / file.path) as segment:
            assert segment[table]["x"][()].tolist() == stored.tolist()


def test_same_input_same_bytes_and_the_name_carries_the_digest(tmp_path: Path) -> None:
    tables = {"sources": {"name": np.array(["a", "ß"]), "x": np.arange(2.0)}}
    image = pack({"b": 1, "a": 2}, tables)
    time.sleep(1.1)  # HDF5 would keep the second in which a thing was made
    assert image == pack({"a": 2, "b": 1}, tables)
    file = write(tmp_path, "f/RA012", "RA012.34-015.02", image)
    assert file.path == f"f/RA012/RA012.34-015.02_{file.digest}.h5"
    assert sizes_below(tmp_path, "f") == {file.path: len(image)}
    assert not list((tmp_path / ".tmp").iterdir())


def test_five_lines_of_h5py_read_it(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "f/RA012",
        "RA012",
        pack({}, {"sources": {"name": np.array(["a"])}, "epochs": {"time": np.ones(3)}}),
    )
    with h5py.File(tmp_path / file.path) as segment:
        assert [name.decode() for name in segment["sources"]["name"]] == ["a"]
        assert segment["epochs"]["time"][()].tolist() == [1.0] * 3


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    file = write(tmp_path, "f/RA012", "RA012", pack({}, {"t": {"x": np.arange(50.0)}}))
    image = (tmp_path / file.path).read_bytes()
    for position in range(0, len(image), 97):
        broken = bytearray(image)
        broken[position] ^= 1
        (tmp_path / file.path).write_bytes(bytes(broken))
        with pytest.raises(SegmentError, match="altered"):
            read(tmp_path / file.path)


def test_missing_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SegmentError, match="missing"):
        read(tmp_path / "none_00.h5")
    (tmp_path / "junk_00.h5").write_bytes(b"junk")
    with pytest.raises(SegmentError, match="altered"):
        read(tmp_path / "junk_00.h5")
    with h5py.File("x", "w", driver="core", backing_store=False) as newer:
        newer.attrs["format"] = 99
        newer.flush()
        image = newer.id.get_file_image()
    file = write(tmp_path, "f/RA000", "x", image)
    with pytest.raises(SegmentError, match="format 99"):
        read(tmp_path / file.path)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from retriever.errors import StoreError\n"
        "from retriever.store.segments import write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write(Path(sys.argv[1]), 'f/RA000', 'x', b'0' * 5000)\n"
        "except StoreError as error: print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert "free some space" in told
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_where_a_folder_must_go(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write(tmp_path, "f/RA000", "x", b"1")


@given(st.text(min_size=1, max_size=20))
def test_safe_names_are_one_harmless_part_of_a_path(text: str) -> None:
    name = safe_name(text)
    assert name.isascii()
    assert "/" not in name
    assert name not in (".", "..", "")
    assert Path("a", name).name == name


def test_threads_build_segments_at_once_and_all_alike() -> None:
    from concurrent.futures import ThreadPoolExecutor

    table = {"t": {"x": np.arange(1000.0)}}
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: pack({}, table), range(40)))
    assert set(images) == {pack({}, table)}
