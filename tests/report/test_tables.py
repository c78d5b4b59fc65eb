"""The digest of a version's tables of results."""

import numpy as np
import pytest

from retriever.errors import StoreError
from retriever.report.tables import result_digest
from tests.folders import add_tables, make_version


def test_the_digest_changes_with_each_table_of_results_and_with_nothing_else(tmp_path) -> None:
    version = make_version(tmp_path)
    add_tables(version)
    digest = result_digest(version.folder)
    add_tables(version, segments={"source_row": np.arange(4)})  # where products lie is no result
    (version.folder / "notes.txt").write_text("mine")
    assert result_digest(version.folder) == digest
    seen = {digest}
    for path in sorted(version.folder.glob("*.parquet")):
        if path.name != "segments.parquet":
            image = path.read_bytes()
            path.write_bytes(image + b"x")
            seen.add(result_digest(version.folder))
            path.unlink()
            seen.add(result_digest(version.folder))
            path.write_bytes(image)
    assert len(seen) == 1 + 2 * 6
    assert result_digest(version.folder) == digest


def test_two_tables_that_change_places_have_another_digest(tmp_path) -> None:
    version = make_version(tmp_path)
    add_tables(version)
    digest = result_digest(version.folder)
    first, second = (version.folder / f"{name}.parquet" for name in ("detections", "injections"))
    images = first.read_bytes(), second.read_bytes()
    first.write_bytes(images[1])
    second.write_bytes(images[0])
    assert result_digest(version.folder) != digest


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(StoreError, match="missing"):
        result_digest(tmp_path / "missing")
