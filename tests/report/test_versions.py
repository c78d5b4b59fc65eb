"""Version folders, by their files alone."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from retriever.errors import ConfigError, StoreError
from retriever.report.versions import VersionFolder, find_version, find_versions, names_beginning, version_names
from tests.folders import add_tables, make_version


def test_the_hash_holds_until_the_inputs_are_edited(tmp_path) -> None:
    version = make_version(tmp_path)
    assert version.hash_holds and version.parameters["finder.snr_threshold"] == 5.0
    path = version.folder / "version.json"
    path.write_text(path.read_text().replace('"snr_threshold": 5.0', '"snr_threshold": 4.0'))
    assert not VersionFolder(version.folder).hash_holds
    renamed = version.folder.rename(tmp_path / "HAND_000000000000")
    assert not VersionFolder(renamed).hash_holds


def test_a_project_without_versions_is_named_by_itself(tmp_path) -> None:
    folder = make_version(tmp_path).folder.rename(tmp_path / "HAND")
    assert VersionFolder(folder).hash_holds


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"inputs": [], "hash": "x"}', '{"inputs": {}, "hash": 1}'])
def test_a_broken_manifest_is_refused_in_a_sentence(tmp_path, text) -> None:
    (tmp_path / "version.json").write_text(text)
    with pytest.raises(StoreError, match="version"):
        _ = VersionFolder(tmp_path).manifest


def test_the_time_of_creation_is_in_utc_and_old_where_unknown(tmp_path) -> None:
    version = make_version(tmp_path, created="2026-01-02T03:04:05+02:00")
    assert version.created == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert make_version(tmp_path, 4.0, created="yesterday").created == datetime.fromtimestamp(0, UTC)


def test_columns_of_later_tables_have_their_defaults(tmp_path) -> None:
    version = make_version(tmp_path)
    add_tables(version)
    table = version.table("injections")
    assert np.isnan(table["found_snr"]).all()  # not in the hand-made file, declared with the default NaN
    assert version.table("detections", ["finder", "snr"])["finder"].tolist() == ["", ""]
    assert "finder" not in version.table("detections", ["snr"])
    assert "width" not in table  # declared without a default


def test_a_missing_table_is_named(tmp_path) -> None:
    with pytest.raises(StoreError, match=r"detections\.parquet"):
        make_version(tmp_path).table("detections")


def test_places_lie_in_the_products_of_the_former_format(tmp_path) -> None:
    version = make_version(tmp_path)
    assert not version.has_tables
    places = {"segment": np.full(4, "data/x"), "source_row": np.arange(4)}
    add_tables(version, products=places)
    assert set(version.segments["segment"]) == {""}
    (version.folder / "segments.parquet").unlink()
    assert version.has_tables and version.segments["source_row"].tolist() == [0, 1, 2, 3]


def test_versions_are_named_by_folder_name_or_unique_beginning(tmp_path) -> None:
    first, second = make_version(tmp_path), make_version(tmp_path, 4.0)
    digest = first.name.partition("_")[2]
    for word in (str(first.folder), first.name, digest, digest[:6]):
        assert find_version(word, tmp_path).folder == first.folder
    with pytest.raises(ConfigError, match="give more letters"):
        find_version("HAND_", tmp_path)
    with pytest.raises(ConfigError, match="no version 'OTHER'"):
        find_version("OTHER", tmp_path)
    assert {version.name for version in find_versions(["HAND_*", first.name], tmp_path)} == {first.name, second.name}
    with pytest.raises(ConfigError, match="matches"):
        find_versions(["OTHER_*"], tmp_path)


def test_hidden_folders_and_missing_ones_hold_no_versions(tmp_path) -> None:
    name = make_version(tmp_path).name
    (tmp_path / ".stages").mkdir()
    (tmp_path / ".stages" / "version.json").write_text(json.dumps({}))
    assert version_names(tmp_path) == [name] and version_names(tmp_path / "missing") == []
    assert names_beginning("", [name]) == []
