"""Exports are read back by the tools that they are for, and hold the numbers of the version."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import votable
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

import retriever as package
from retriever.api.version import Version
from retriever.errors import ConfigError, DataError, RetrieverError, StoreError
from retriever.exports.tables import FORMATS, UCDS, write_table

SMALL = (
    "catalog.size=20",
    "observatories.demo.epochs=40",
    "observatories.demo.flares=0.5",
    "observatories.demo.empty=0.2",
)


@pytest.fixture
def version(made_once, stand: Path) -> Version:
    made_once(SMALL)
    return package.open().versions["DEMO"]


@pytest.mark.parametrize("kind", ["ecsv", "fits", "votable"])
def test_astropy_reads_tables_with_their_units(version: Version, tmp_path: Path, kind: str) -> None:
    for name in ("detections", "sources", "lightcurves"):
        (path,) = version.export(tmp_path / f"{name}{FORMATS[kind]}", kind, tables=[name])
        frame, table = version.table(name), Table.read(path)
        assert table.colnames == frame.columns.tolist() and len(table) == len(frame) > 0
        for column, unit in frame.attrs["units"].items():
            assert str(table[column].unit) == unit.replace("mas/yr", "mas / yr"), column
        for column in frame:
            if frame[column].dtype.kind == "O":
                texts = np.ma.filled(table[column], "")
                assert [text.decode() if isinstance(text, bytes) else str(text) for text in texts] == frame[
                    column
                ].tolist()
            elif frame[column].dtype.kind == "f":
                np.testing.assert_array_equal(np.ma.filled(table[column], np.nan), frame[column])
            else:
                np.testing.assert_array_equal(table[column], frame[column])


def test_votables_have_descriptors_of_the_standard(version: Version, tmp_path: Path) -> None:
    (path,) = version.export(tmp_path / "d.vot", "votable", tables=["detections"])
    fields = {field.name: field.ucd for field in votable.parse_single_table(path).fields}
    assert fields["snr"] == "stat.snr" and fields["source"] == "meta.id;src" and fields["lightcurve"] is None
    for ucd in UCDS.values():
        assert check_ucd(ucd, check_controlled_vocabulary=True, has_colon=False), ucd


def test_csv_is_no_formula(version: Version, tmp_path: Path) -> None:
    (path,) = version.export(tmp_path / "detections.csv", "csv", tables=["detections"])
    numbers = version.detections.select_dtypes("number").columns
    written = pd.read_csv(path, keep_default_na=False, na_values={key: [""] for key in numbers})
    pd.testing.assert_frame_equal(written, version.detections, check_dtype=False)
    names = ["=HYPERLINK(1)", "+1", "-1", "@x", "\ttab", "plain", "a=b"]
    write_table("sources", pd.DataFrame({"name": names, "ra": [-1.0] * 7}), tmp_path / "x.csv", "csv")
    read = pd.read_csv(tmp_path / "x.csv")
    assert read["name"].tolist() == [*("'" + name for name in names[:5]), "plain", "a=b"] and (read["ra"] == -1.0).all()


def test_several_tables_are_a_folder_and_nothing_is_overwritten(version: Version, tmp_path: Path) -> None:
    files = version.export(tmp_path / "all", "csv")
    assert {path.stem for path in files} == set(version.tables) - {"segments", "products"}
    assert all(path.is_file() and path.parent == tmp_path / "all" for path in files)
    with pytest.raises(ConfigError, match="is there already"):
        version.export(tmp_path / "all", "csv")
    assert version.export(tmp_path / "p.csv", "csv", tables=["products"]) == [tmp_path / "p.csv"]


def test_light_curves_are_nested_a_row_a_source(version: Version, tmp_path: Path) -> None:
    (path,) = version.export(tmp_path / "lc.parquet", "parquet", level="reduced")
    table = pq.read_table(path)
    assert table["name"].to_pylist() == version.sources["name"].tolist()
    assert table.schema.field("ra").metadata == {b"unit": b"deg"}
    assert table.schema.metadata[b"retriever.hash"].decode() == version.manifest["hash"]
    known = set(version.lightcurves["source"])
    for row in table.to_pylist():
        epochs = row["lightcurve"]
        curves = version.source(row["name"]).lightcurves("reduced")
        assert bool(curves) == (row["name"] in known)
        for column in ("time", "flux", "mag", "bjd", "qflag", "flag"):
            np.testing.assert_array_equal(
                epochs[column], np.concatenate([getattr(lc, column) for lc in curves] or [[]])
            )
        assert epochs["band"] == [lc.band for lc in curves for _ in range(lc.n_epochs)]


def test_nested_pandas_reads_them(version: Version, tmp_path: Path) -> None:
    nested_pandas = pytest.importorskip("nested_pandas", reason="nested-pandas is not installed")
    (path,) = version.export(tmp_path / "lc.parquet", "parquet")
    frame = nested_pandas.read_parquet(path)
    name = version.lightcurves["source"][0]
    (lc,) = version.source(name).lightcurves()
    (epochs,) = frame[frame["name"] == name]["lightcurve"]
    np.testing.assert_array_equal(np.asarray(epochs["flux"], float), lc.flux)
    assert "lightcurve" in frame.nested_columns


def test_some_sources_of_a_level(version: Version, tmp_path: Path) -> None:
    names = version.lightcurves["source"][:2].tolist()[::-1]
    (path,) = version.export(tmp_path / "two.parquet", "parquet", sources=names)
    assert pq.read_table(path)["name"].to_pylist() == names
    for words, text in (
        ({"kind": "parquet", "level": "raw"}, "cannot be exported; choose reduced"),
        ({"kind": "parquet", "sources": ["nobody"]}, "no source 'nobody'"),
        ({"kind": "xlsx"}, "no format 'xlsx'"),
        ({"kind": "csv", "tables": ["detection"]}, "did you mean 'detections'"),
    ):
        with pytest.raises(RetrieverError, match=text):
            version.export(tmp_path / "x", **words)
    assert not list(tmp_path.glob("*x*"))


def test_what_fails_leaves_nothing(version: Version, tmp_path: Path) -> None:
    import shutil

    shutil.rmtree("outputs/.stages")
    with pytest.raises(StoreError, match="is missing"):
        package.open().versions[version.name].export(tmp_path / "lc.parquet", "parquet")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        version.export(tmp_path / "file" / "x.csv", "csv", tables=["detections"])
    accented = pd.DataFrame({"name": ["é"]})
    with pytest.raises(DataError, match="export it as votable"):
        write_table("sources", accented, tmp_path / "s.fits", "fits")
    assert sorted(path.name for path in tmp_path.glob("*") if path.name not in ("outputs", "data")) in (
        ["file"],
        ["file", "s.fits"],
    )


def test_provenance_follows_the_standard(version: Version, tmp_path: Path) -> None:
    (path,) = version.export(tmp_path / "p.json", "prov")
    told = json.loads(path.read_text())
    known = {**told["entity"], **told["activity"], **told["agent"]}
    prefixes = set(told["prefix"]) | {"prov"}
    assert all(key.partition(":")[0] in prefixes for key in known)
    for relation in ("used", "wasGeneratedBy", "wasAssociatedWith", "wasDerivedFrom", "hadMember"):
        assert told[relation]
        for pair in told[relation].values():
            assert set(pair.values()) <= set(known), relation
    assert told["entity"][f"version:{version.name}"]["retriever:hash"] == version.manifest["hash"]
    assert len(told["activity"]) == 1 and "survey:demo" in told["entity"]
    (agent,) = told["agent"].values()
    assert re.fullmatch("[0-9a-f]{40}", agent["retriever:commit of retriever"])


def test_the_command_exports(retriever, version: Version, tmp_path: Path) -> None:
    target = str(tmp_path / "d.vot")
    ended = retriever("export", version.name[:9], target, "--format", "votable", "--table", "detections")
    assert ended.code == 0 and ended.out.strip() == target and len(Table.read(target)) == len(version.detections)
    ended = retriever("export", version.name, str(tmp_path / "t"), "--format", "ecsv", "--json")
    assert len(json.loads(ended.out)["files"]) == len(list((tmp_path / "t").iterdir())) > 5
    assert retriever("export", version.name, target, "--format", "csv").code == 2
    assert retriever("export", version.name, str(tmp_path / "u"), "--format", "doc").code == 2
