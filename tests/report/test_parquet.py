"""Parquet files are written whole or not at all."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from retriever.errors import StoreError
from retriever.report.parquet import write_parquet


def test_chunks_units_and_metadata_are_written(tmp_path) -> None:
    path = tmp_path / "version" / "t.parquet"
    path.parent.mkdir()
    chunks = [{"x": np.array([1.0]), "name": np.array(["a"])}, {"x": np.array([np.nan, 2.0]), "name": ["b", "ü"]}]
    write_parquet(path, iter(chunks), {"x": "mag"}, {"state": "s"})
    table = pq.read_table(path)
    assert table["name"].to_pylist() == ["a", "b", "ü"] and table["x"].to_pylist()[::2] == [1.0, 2.0]
    schema = pq.read_schema(path)
    assert schema.field("x").metadata == {b"unit": b"mag"} and not schema.field("name").metadata
    assert pq.read_metadata(path).metadata[b"state"] == b"s"


def failing():
    yield {"x": np.arange(3)}
    raise OSError("no space left")


@pytest.mark.parametrize(("chunks", "error"), [(failing(), OSError), (iter([]), StoreError)])
def test_what_fails_leaves_the_earlier_file_and_nothing_else(tmp_path, chunks, error) -> None:
    path = tmp_path / "version" / "t.parquet"
    path.parent.mkdir()
    write_parquet(path, iter([{"x": np.arange(2)}]), {})
    image = path.read_bytes()
    with pytest.raises(error):
        write_parquet(path, chunks, {})
    assert path.read_bytes() == image
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
