from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from retriever.catalogs.file import FileCatalog
from retriever.catalogs.tabular import CatalogColumns, Magnitude
from retriever.errors import CatalogError
from tests.conftest import ROOT


@pytest.mark.parametrize("suffix", ["csv", "fits", "h5", "parquet", "vot", "ecsv"])
def test_every_format_gives_the_same_sources(stand: Path, suffix: str) -> None:
    table = Table({"star": [111, 222], "RA": [10.0, 20.0], "DE": [1.0, -2.0], "G": [15.0, np.nan], "BP": [15.5, 16.5]})
    options = {
        "csv": {"format": "ascii.csv"},
        "h5": {"format": "hdf5", "path": "t"},
        "vot": {"format": "votable"},
        "ecsv": {"format": "ascii.ecsv"},
    }
    if suffix == "parquet":
        table.to_pandas().to_parquet(stand / "c.parquet")
    else:
        table.write(stand / f"c.{suffix}", **options.get(suffix, {}))
    magnitudes = {"BP": Magnitude(mag="BP", band="BP"), "G": Magnitude(mag="G", band="G")}
    found = FileCatalog(
        path=f"c.{suffix}",
        columns=CatalogColumns(name="star", ra="RA", dec="DE"),
        magnitudes=magnitudes,
        preferred="G",
        epoch=2016.0,
    ).load()
    assert found.name.tolist() == ["111", "222"]
    assert found.mag.tolist() == [15.0, 16.5]
    assert found.band.tolist() == ["G", "BP"]
    assert found.epoch.tolist() == [2016.0, 2016.0]


def test_looked_up_where_one_stands_then_in_catalogs_then_among_samples(stand: Path) -> None:
    assert len(FileCatalog(path="white_dwarfs_sample.csv").load()) == 50
    (stand / "catalogs").mkdir()
    (stand / "catalogs" / "white_dwarfs_sample.csv").write_text("name,ra,dec\na,1,2\n")
    assert len(FileCatalog(path="white_dwarfs_sample.csv").load()) == 1
    (stand / "white_dwarfs_sample.csv").write_text("name,ra,dec\na,1,2\nb,1,2\n")
    assert len(FileCatalog(path="white_dwarfs_sample.csv").load()) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,ra,dec\n", "no sources"),
        ("name,ra,dec\na,,2\n", "no position"),
        ("name,ra\na,1\n", "no column 'dec'"),
        ("name,ra,dec\na,12:30:00,2\n", "text where numbers"),
        ("name,ra,dec\na,1,2\na,1,2\n", "more than once"),
        ("", "empty"),
        ("name,ra,dec\na,1,2\n,3,4\n,5,6\n", r"c\.csv: 2 row\(s\) have no name in column 'name', the first is row 1"),
        ("name,ra,dec\n7,1,2\n,3,4\n", "have no name"),
        ("name,ra,dec\nNaN,1,2\n", "have no name"),
        ("name,ra,dec\n1.5e17,1,2\n", "16 digits"),
    ],
)
def test_bad_catalogs_get_a_clear_answer(stand: Path, text: str, words: str) -> None:
    (stand / "c.csv").write_text(text)
    with pytest.raises(CatalogError, match=words):
        FileCatalog(path="c.csv").load()


@pytest.mark.parametrize("kind", ["int", "float", "text"])
def test_a_null_name_is_no_name_in_any_format(stand: Path, kind: str) -> None:
    values = {"int": pd.array([5, None], "Int64"), "float": [5.0, np.nan], "text": ["a", None]}[kind]
    pd.DataFrame({"name": values, "ra": [1.0, 2.0], "dec": [0.0, 0.0]}).to_parquet(stand / "c.parquet")
    with pytest.raises(CatalogError, match=r"have no name in column 'name', the first is row 1"):
        FileCatalog(path="c.parquet").load()


def test_ids_are_exact_beyond_2_63_and_as_floats_without_a_fraction(stand: Path) -> None:
    (stand / "c.csv").write_text("name,ra,dec\n18446744073709551615,1,2\n12345678901234567890123,3,4\n7,5,6\n")
    assert FileCatalog(path="c.csv").load().name.tolist() == ["18446744073709551615", "12345678901234567890123", "7"]
    for name, values in (("u", np.array([2**64 - 1, 3], np.uint64)), ("f", np.array([2.0**53 - 1, 3.0]))):
        pd.DataFrame({"name": values, "ra": [1.0, 2.0], "dec": 0.0}).to_parquet(stand / f"{name}.parquet")
        assert FileCatalog(path=f"{name}.parquet").load().name.tolist() == [str(int(value)) for value in values]


def test_null_and_blank_aliases_are_none(stand: Path) -> None:
    table = pd.DataFrame(
        {"name": ["a", "b", "c", "d"], "ra": 1.0, "dec": 2.0, "tic": pd.array([0, None, 5, 6], "Int64")}
    )
    table["other"] = ["x", None, "", "nan"]
    table.to_parquet(stand / "c.parquet")
    found = FileCatalog(path="c.parquet", columns=CatalogColumns(aliases=["tic", "other"])).load()
    assert found.aliases == (("0", "x"), (), ("5",), ("6",))


def test_epochs_that_are_missing_or_no_years(stand: Path) -> None:
    columns = CatalogColumns(epoch="epoch")
    (stand / "c.csv").write_text("name,ra,dec,epoch\na,1,2,2015.5\nb,1,3,\n")
    found = FileCatalog(path="c.csv", columns=columns, epoch=2016.0).load()
    assert found.epoch.tolist() == [2015.5, 2016.0]
    assert found.notes == ("1 row(s) have no epoch; that of catalog.epoch, 2016, is taken",)
    for value, words in (
        ("57388.5", "MJD, the year is 2016"),
        ("2457389", "JD, the year is 2016"),
        ("12", "no Julian year"),
    ):
        (stand / "c.csv").write_text(f"name,ra,dec,epoch\na,1,2,{value}\n")
        with pytest.raises(CatalogError, match=words):
            FileCatalog(path="c.csv", columns=columns).load()


def test_magnitudes_of_99_are_unknown_and_said_so(stand: Path) -> None:
    (stand / "c.csv").write_text("name,ra,dec,g,r\na,1,2,99.99,18\nb,1,3,17,-999\nc,1,4,99,99\n")
    magnitudes = {"g": Magnitude(mag="g", band="g"), "r": Magnitude(mag="r", band="r")}
    found = FileCatalog(path="c.csv", magnitudes=magnitudes).load()
    assert found.mag.tolist()[:2] == [18.0, 17.0] and np.isnan(found.mag[2])
    assert found.band.tolist() == ["r", "g", ""]
    assert found.notes == (
        "2 value(s) of g, such as 99.99, stand for unknown magnitudes",
        "2 value(s) of r, such as -999, stand for unknown magnitudes",
    )


def test_missing_catalogs(stand: Path) -> None:
    with pytest.raises(CatalogError, match=r"check catalog\.path"):
        FileCatalog(path="nowhere.csv").load()
    with pytest.raises(CatalogError, match="not given"):
        FileCatalog().load()


def test_rows_without_a_position_can_be_left_out_and_ra_of_360_is_0(stand: Path) -> None:
    (stand / "c.csv").write_text("name,ra,dec,alias\na,,2,\nb,360,2,\nc,1,2,beta\n")
    table = FileCatalog(path="c.csv", skip_without_position=True, columns=CatalogColumns(aliases=["alias"])).load()
    assert table.ra.tolist() == [0.0, 1.0]
    assert table.skipped == {"no position": 1}
    assert table.aliases == ((), ("beta",))


def test_frames_are_turned_into_icrs(stand: Path) -> None:
    from astropy.coordinates import SkyCoord

    (stand / "c.csv").write_text("name,ra,dec\na,120.5,-33.25\n")
    table = FileCatalog(path="c.csv", frame="galactic").load()
    expected = SkyCoord(120.5, -33.25, unit="deg", frame="galactic").icrs
    assert (table.ra[0], table.dec[0]) == pytest.approx((expected.ra.deg, expected.dec.deg))


def test_the_sample_is_of_real_white_dwarfs(real_data: Path) -> None:
    whole = Table.read(real_data / "catalogs" / "gf21_white_dwarfs_vizier.csv", format="ascii.csv")
    row = {int(number): k for k, number in enumerate(whole["GaiaEDR3"])}
    sample = FileCatalog(path=str(ROOT / "catalogs" / "white_dwarfs_sample.csv")).load()
    for k, name in enumerate(sample.name.tolist()):
        assert sample.ra[k] == pytest.approx(whole["RA_ICRS"][row[int(name)]], abs=1e-8)
        assert sample.dec[k] == pytest.approx(whole["DE_ICRS"][row[int(name)]], abs=1e-8)


def test_positions_move_to_the_epoch_of_the_observation(stand: Path) -> None:
    (stand / "c.csv").write_text("name,ra,dec,pmra,pmdec\na,359.9999,0,3600,0\n")
    source = (
        FileCatalog(path="c.csv", epoch=2016.0, columns=CatalogColumns(pmra="pmra", pmdec="pmdec")).load().source(0)
    )
    assert source.position(2016.0) == pytest.approx((359.9999, 0.0))
    assert source.position(2017.0)[0] == pytest.approx(0.0009, abs=1e-9)
