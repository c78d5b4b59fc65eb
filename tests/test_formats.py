import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from retriever.errors import FileFormatError
from retriever.formats import read_table

ID = 9007199254740993  # 2**53 + 1: not a float64


@pytest.fixture
def plain() -> Table:
    return Table({"id": np.array([ID, 2]), "x": [1.5, np.nan], "name": ["a", "bß"], "good": [True, False]})


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits", "parquet", "vot", "h5"])
def test_values_types_and_large_ids_survive(tmp_path: Path, plain: Table, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    if suffix == "fits":
        plain["name"] = ["a", "b"]
    options = {
        "vot": {"format": "votable"},
        "h5": {"format": "hdf5", "path": "t"},
        "parquet": {"format": "parquet"},
    }
    if suffix == "parquet":
        plain.to_pandas().to_parquet(path)
    else:
        plain.write(
            path,
            **{"ecsv": {"format": "ascii.ecsv"}, "csv": {"format": "ascii.csv"}, **options}.get(suffix, {}),
        )
    columns = read_table(path).columns
    assert columns["id"].tolist() == [ID, 2]
    assert columns["id"].dtype == np.int64
    assert columns["x"].dtype == np.float64
    assert columns["x"][0] == 1.5
    assert np.isnan(np.ma.filled(columns["x"], np.nan)[1])
    names = [value.decode() if isinstance(value, bytes) else value for value in columns["name"].tolist()]
    assert names == plain["name"].tolist()


def test_headers_of_all_extensions_with_order_and_comments(tmp_path: Path) -> None:
    primary, table = fits.PrimaryHDU(), fits.BinTableHDU(Table({"x": np.arange(3, dtype=np.int16)}))
    primary.header["OBJECT"] = ("TIC 1", "the star")
    primary.header["COMMENT"] = "a comment"
    image = fits.ImageHDU(np.zeros((2, 2)), name="APERTURE")
    fits.HDUList([primary, table, image]).writeto(tmp_path / "a.fits")
    found = read_table(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        for text, hdu in zip(found.headers, hdus, strict=True):
            assert fits.Header.fromstring(text, sep="\n").cards == hdu.header.cards or (
                [str(card) for card in fits.Header.fromstring(text, sep="\n").cards]
                == [str(card) for card in hdu.header.cards]
            )
    assert found.columns["x"].dtype == np.int16
    assert found.card("OBJECT") == "TIC 1"


def test_masks_of_fits_and_csv(tmp_path: Path) -> None:
    column = fits.Column("n", "J", null=-9, array=np.array([1, -9]))
    fits.BinTableHDU.from_columns([column]).writeto(tmp_path / "m.fits")
    assert np.ma.getmaskarray(read_table(tmp_path / "m.fits").columns["n"]).tolist() == [False, True]
    (tmp_path / "m.csv").write_text("a,b\n1,x\n,\n")
    columns = read_table(tmp_path / "m.csv").columns
    assert np.ma.getmaskarray(columns["a"]).tolist() == [False, True]
    assert columns["b"].tolist() == ["x", ""]


def test_text_is_kept_as_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"# made by hand\nhex,day,word\n0x3,2020-01-02,NA\n0x10,2020-01-03,x\n"))
    table = read_table(path)
    assert table.headers == ("# made by hand",)
    assert table.columns["hex"].tolist() == ["0x3", "0x10"]
    assert table.columns["day"].tolist() == ["2020-01-02", "2020-01-03"]
    assert table.columns["word"].tolist() == ["NA", "x"]


def test_nan_is_a_value_and_nothing_is_missing(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("a,id\nnan,007\n1.5,100\nNaN,3\n")
    columns = read_table(tmp_path / "n.csv").columns
    assert not np.ma.isMaskedArray(columns["a"])
    assert np.isnan(columns["a"]).tolist() == [True, False, True]
    assert columns["id"].tolist() == ["007", "100", "3"]


def test_a_header_alone_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("a,b\n")
    assert read_table(tmp_path / "e.csv").n_rows == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", b"", "empty"),
        ("x.csv", b"a,b\n1\n", "cannot be read"),
        ("x.csv", b"a,a\n1,2\n", "more than one column 'a'"),
        ("x.fits", b"junk", "cannot be read"),
        ("x.parquet", b"PAR1", "cannot be read"),
        ("x.h5", b"junk", "cannot be read"),
        ("x.vot", b"<html></html>", "cannot be read"),
        ("x.jpg", b"", "suffix"),
    ],
)
def test_broken_files_get_one_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=words) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_missing_files_and_columns(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no file"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_text("magnitude\n1\n")
    with pytest.raises(FileFormatError, match="did you mean 'magnitude'"):
        read_table(tmp_path / "x.csv", ["magnitud"])


def test_damaged_files_of_the_archive(real_data: Path) -> None:
    for path in sorted((real_data / "broken").glob("*.fits")):
        with pytest.raises(FileFormatError):
            read_table(path)


def test_an_archives_error_is_no_table(real_data: Path) -> None:
    with pytest.raises(FileFormatError):
        read_table(real_data / "services" / "vizier" / "no_server_error.xml")


def test_real_tables_of_other_surveys(real_data: Path) -> None:
    assert read_table(real_data / "other" / "1013184.csv").columns["band"][0] == "r"
    asassn = read_table(real_data / "other" / "vxmen.csv")
    assert asassn.headers[0].startswith('# "asas_sn_id"')
    assert asassn.columns["asas_sn_id"][0] == 12702
    with pytest.raises(FileFormatError, match="lists in its cells"):
        read_table(real_data / "other" / "some_lc.parquet")
