from pathlib import Path

import numpy as np
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
    ],
)
def test_bad_catalogs_get_a_clear_answer(stand: Path, text: str, words: str) -> None:
    (stand / "c.csv").write_text(text)
    with pytest.raises(CatalogError, match=words):
        FileCatalog(path="c.csv").load()


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
