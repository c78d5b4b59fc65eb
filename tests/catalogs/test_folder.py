from pathlib import Path

import pytest
from astropy.io import fits

from retriever.catalogs.folder import FolderCatalog
from retriever.errors import CatalogError, ConfigError


def test_the_stars_of_a_real_folder(real_data: Path) -> None:
    table = FolderCatalog(folder=str(real_data / "tess")).load()
    expected = {}
    for path in (real_data / "tess").glob("*.fits"):
        header = fits.getheader(path)
        expected[f"TIC {header['TICID']}"] = round(header["RA_OBJ"], 9)
    assert dict(zip(table.name.tolist(), table.ra.tolist(), strict=True)) == expected
    assert table.row_of("25155310") == table.row_of("TIC 25155310")


def test_keplers_proper_motion_is_in_arcsec(real_data: Path) -> None:
    table = FolderCatalog(folder=str(real_data / "kepler"), telescope="Kepler").load()
    star = table.source(table.row_of("EPIC 211117077"))
    assert (star.pmra, star.pmdec) == pytest.approx((22.4, -43.4))


def test_folders_without_files_or_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no light-curve file"):
        FolderCatalog(folder=str(tmp_path)).load()
    with pytest.raises(ConfigError, match="not a folder"):
        FolderCatalog(folder=str(tmp_path / "none")).load()
    with pytest.raises(ConfigError, match=r"paths\.lightcurves"):
        FolderCatalog().load()


def test_unreadable_files_are_counted(tmp_path: Path, real_data: Path) -> None:
    (tmp_path / "junk.fits").write_bytes(b"junk")
    source = real_data / "tess" / "test-lc-tess-pimen-100-cadences.fits"
    (tmp_path / "good.fits").write_bytes(source.read_bytes())
    table = FolderCatalog(folder=str(tmp_path)).load()
    assert len(table) == 1
    assert any("junk.fits" in reason for reason in table.skipped)
