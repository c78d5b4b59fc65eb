from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from retriever.config import CONFIG_FOLDER, build_setup
from retriever.errors import ConfigError
from retriever.formats import read_table
from retriever.rawtable import RawPhotometry
from retriever.reducers.mission_flags import mask_of
from retriever.reducers.tess import TESSReducer
from retriever.source import Source


def composed(reducer: str) -> DictConfig:
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        return compose("config", [f"reducer@reducers.demo={reducer}"])


def reduce(path: Path, **parameters: object) -> object:
    raw = RawPhotometry(tables=(read_table(path),))
    return TESSReducer(**parameters).reduce(Source(name="X", ra=0.0, dec=0.0), raw)


@pytest.mark.parametrize("folder", ["tess", "kepler"])
def test_rows_times_and_flags_of_real_files_are_those_of_astropy(real_data: Path, folder: str) -> None:
    for path in sorted((real_data / folder).glob("*.fits")):
        with fits.open(path) as hdus:
            data, header = hdus[1].data, hdus[1].header
            timed = np.isfinite(data["TIME"])
            result = reduce(path, flag_mask=16575)
            (lc,) = result.lightcurves
            assert lc.n_epochs == timed.sum()
            assert result.dropped.get("no time", 0) == (~timed).sum()
            zero = header["BJDREFI"] + header.get("BJDREFF", 0.0)
            expected = Time(zero, data["TIME"][timed].astype(float), format="jd", scale="tdb").mjd
            np.testing.assert_allclose(lc.time, expected, rtol=0, atol=1e-9)
            qlp = "KSPSAP_FLUX" in hdus[1].columns.names
            flux = data["KSPSAP_FLUX" if qlp else "PDCSAP_FLUX"][timed]
            np.testing.assert_array_equal(lc.flux, flux.astype(float))
            quality = data["SAP_QUALITY" if folder == "kepler" else "QUALITY"][timed]
            mask = (16575 & 4095) | 4096 if qlp else 16575
            np.testing.assert_array_equal(lc.qflag, (quality & mask) != 0)
            assert (lc.time_system.scale, lc.time_system.reference, lc.time_system.point) == (
                "tdb",
                "barycenter",
                "middle",
            )


def test_magnitudes_agree_with_the_catalogs(real_data: Path) -> None:
    for name in (
        "hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits",
        "hlsp_qlp_tess_ffi_s0024-0000000188589164_tess_v01_llc.fits",
    ):
        path = real_data / "tess" / name
        (lc,) = reduce(path).lightcurves
        assert lc.mag_moments[0] == pytest.approx(fits.getheader(path)["TESSMAG"], abs=0.1)
    for path in (real_data / "kepler").glob("*.fits"):
        # magnitudes of the Kepler Input Catalog are good to a few tenths, these three differ by -0.3, -0.1 and +0.35
        assert reduce(path).lightcurves[0].mag_moments[0] == pytest.approx(fits.getheader(path)["KEPMAG"], abs=0.4)


def test_series_and_exposure(real_data: Path) -> None:
    spoc = reduce(real_data / "tess" / "tess2020106103520-s0024-0000000188589164-0180-s_lc.fits").lightcurves[0]
    assert (spoc.series, spoc.band) == ("sector 24, 120 s", "TESS")
    assert spoc.exptime[0] == pytest.approx(120 * 0.792)
    qlp = reduce(real_data / "tess" / "hlsp_qlp_tess_ffi_s0024-0000000188589164_tess_v01_llc.fits").lightcurves[0]
    assert qlp.series == "sector 24, 1800 s, QLP"
    k2 = reduce(real_data / "kepler" / "ktwo211117077-c04_llc.fits").lightcurves[0]
    assert (k2.series, k2.band) == ("campaign 4, 1765 s", "Kepler")


def test_simple_aperture_flux_and_centroids(real_data: Path) -> None:
    path = real_data / "tess" / "test-lc-tess-pimen-100-cadences.fits"
    (lc,) = reduce(path, flux="sap").lightcurves
    data = fits.getdata(path, 1)
    np.testing.assert_array_equal(lc.flux, data["SAP_FLUX"][np.isfinite(data["TIME"])].astype(float))
    assert set(lc.extra) == {"x", "y"}
    assert reduce(path, centroids=False).lightcurves[0].extra == {}
    with pytest.raises(ConfigError, match="pdcsap or sap"):
        TESSReducer(flux="psf")


def test_flags_by_name_are_the_bits_of_lightkurve_and_the_archive() -> None:
    tess, kepler = (build_setup(composed(name)).reducers["demo"] for name in ("tess", "kepler"))
    assert mask_of(tess.bad_flags, kepler=False) == 16575 == mask_of(TESSReducer().bad_flags, kepler=False)
    assert mask_of(kepler.bad_flags, kepler=True) == 1130799
    # the names that both missions have, which are other bits in each
    assert mask_of(["argabrightening", "manual_exclude"], kepler=False) == 16 + 128
    assert mask_of(["argabrightening", "manual_exclude"], kepler=True) == 64 + 256
    with pytest.raises(ConfigError, match=r"'save_mode'.*did you mean 'safe_mode'"):
        TESSReducer(bad_flags=["save_mode"])


def test_chosen_flags_make_epochs_bad(real_data: Path) -> None:
    path = sorted((real_data / "tess").glob("*s_lc.fits"))[0]
    quality = fits.getdata(path, 1)["QUALITY"][np.isfinite(fits.getdata(path, 1)["TIME"])]
    (lc,) = reduce(path, bad_flags=["desaturation", "stray_light"]).lightcurves
    np.testing.assert_array_equal(lc.qflag, (quality & (32 + 2048)) != 0)
    assert not reduce(path, bad_flags=[]).lightcurves[0].qflag.any()
