"""Files of other pipelines, written here as their documentation says (see retriever/reducers/pipelines.py)."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from retriever.errors import DataError
from retriever.observatories.mission_folder import MissionFolderObservatory
from retriever.rawtable import RawPhotometry, RawTable
from retriever.reducers.tess import TESSReducer
from retriever.source import Source

N = 40
BAD = 7
DAY = np.arange(N) / 48.0
SIGNAL = np.linspace(1.0, 1.02, N)
TESS, KEPLER = 1325.5, 2000.5


def bits(value: int, kind: str = "J") -> tuple[str, np.ndarray]:
    return kind, np.where(np.arange(N) == BAD, value, 0)


CASES = {
    "QLP": (
        {"TIME": ("D", TESS + DAY), "DET_FLUX": ("D", SIGNAL), "DET_FLUX_ERR": ("D", np.full(N, 0.001)),
         "SAP_FLUX": ("D", SIGNAL**2), "QUALITY": bits(1 << 30)},
        {"TELESCOP": "TESS", "OBJECT": "TIC 11", "TESSMAG": 10.0, "SECTOR": 60, "BJDREFI": 2457000, "TIMEDEL": 200 / 86400},
        "TIC 11", "relative", 0.001, "sector 60, 200 s, QLP",
    ),
    "eleanor": (
        {"TIME": ("D", TESS + DAY), "CORR_FLUX": ("D", 500 * SIGNAL), "RAW_FLUX": ("D", 500 * SIGNAL**2),
         "FLUX_ERR": ("D", np.full(N, 2.0)), "QUALITY": bits(131072)},
        {"TIC_ID": 12, "TMAG": 11.0, "SECTOR": 3}, "TIC 12", "e-/s", 2.0, "sector 3, 1800 s, eleanor",
    ),
    "TASOC": (
        {"TIME": ("D", TESS + DAY), "FLUX_RAW": ("D", 500 * SIGNAL**2), "FLUX_RAW_ERR": ("D", np.full(N, 2.0)),
         "FLUX_CORR": ("D", 1e6 * (SIGNAL - 1)), "FLUX_CORR_ERR": ("D", np.full(N, 1000.0)), "QUALITY": bits(0),
         "PIXEL_QUALITY": bits(32)},
        {"TELESCOP": "TESS", "OBJECT": "TIC 13", "TICID": 13, "TESSMAG": 10.0, "SECTOR": 1, "BJDREFI": 2457000, "BJDREFF": 0.0},
        "TIC 13", "relative", 0.001, "sector 1, 1800 s, TASOC",
    ),
    "CDIPS": (
        {"TMID_BJD": ("D", 2457000.0 + TESS + DAY), "IRM2": ("D", 12 - 2.5 * np.log10(SIGNAL**2)),
         "IRE2": ("D", np.full(N, 0.001)), "PCA2": ("D", 12 - 2.5 * np.log10(SIGNAL)),
         "IRQ2": ("1A", np.where(np.arange(N) == BAD, "X", "G"))},
        {"ORIGIN": "CDIPS", "TICID": "14", "TESSMAG": 12.0, "SECTOR": 6}, "TIC 14", "relative", 0.00093, "sector 6, 1800 s, CDIPS",
    ),
    "TGLC": (
        {"time": ("D", TESS + DAY), "cal_aper_flux": ("D", SIGNAL), "cal_psf_flux": ("D", SIGNAL),
         "aperture_flux": ("D", 500 * SIGNAL**2), "TESS_flags": bits(0), "TGLC_flags": bits(1)},
        {"ORIGIN": "UCSB/TGLC", "TICID": "15", "TESSMAG": 12.0, "SECTOR": 6, "CAPE_ERR": 0.001, "APER_ERR": 2.0, "XPTIME": 1425.6},
        "TIC 15", "relative", 0.001, "sector 6, 1800 s, TGLC",
    ),
    "EVEREST": (
        {"TIME": ("D", KEPLER + DAY), "FLUX": ("D", 500 * SIGNAL), "FRAW": ("D", 500 * SIGNAL**2),
         "FRAW_ERR": ("D", np.full(N, 2.0)), "QUALITY": bits(1 << 23)},
        {"TELESCOP": "Kepler", "OBJECT": "EPIC 200000016", "KEPMAG": 12.0, "CAMPAIGN": 4},
        "EPIC 200000016", "e-/s", 2.0, "campaign 4, 1800 s, EVEREST",
    ),
    "K2SFF": (
        {"T": ("D", KEPLER + DAY), "FRAW": ("D", SIGNAL**2), "FCOR": ("D", SIGNAL), "MOVING": bits(1, "B")},
        {"TELESCOP": "Kepler", "OBJECT": "EPIC 200000017", "KEPMAG": 12.0, "CAMPAIGN": 4},
        "EPIC 200000017", "relative", np.nan, "campaign 4, 1800 s, K2SFF",
    ),
    "K2SC": (
        {"time": ("D", KEPLER + DAY), "flux": ("D", 500 * (SIGNAL - 0.005)), "error": ("D", np.full(N, 2.0)),
         "trtime": ("D", np.full(N, 500.0)), "trposi": ("D", np.ones(N)), "quality": bits(0), "mflags": bits(1, "B")},
        {"TELESCOP": "Kepler", "KEPLERID": 200000018, "KEPMAG": 12.0, "CAMPAIGN": 4},
        "EPIC 200000018", "e-/s", 2.0, "campaign 4, 1800 s, K2SC",
    ),
    "K2VARCAT": (
        {"TIME": ("D", KEPLER + DAY), "APTFLUX": ("D", SIGNAL**2), "APTFLUX_ERR": ("D", np.full(N, 0.002)),
         "DETFLUX": ("D", SIGNAL), "DETFLUX_ERR": ("D", np.full(N, 0.001))},
        {}, "EPIC 200000019", "relative", 0.001, "1800 s, K2VARCAT",
    ),
}  # fmt: skip


def lightcurve(folder: Path, name: str, **parameters: object) -> object:
    columns, cards, star, *_ = CASES[name]
    data = fits.BinTableHDU.from_columns(
        [fits.Column(key, kind, array=values) for key, (kind, values) in columns.items()]
    )
    primary = fits.PrimaryHDU()
    primary.header.update(cards)
    fits.HDUList([primary, data]).writeto(
        folder / ("x.fits" if cards else "hlsp_k2varcat_k2_lightcurve_200000019-c01_kepler_v2_llc.fits")
    )
    telescope = "TESS" if star.startswith("TIC") else "Kepler"
    (answer,) = MissionFolderObservatory(folder=str(folder), telescope=telescope).fetch(
        [Source(name=star, ra=0.0, dec=0.0)]
    )
    assert not isinstance(answer, Exception) and not answer.is_empty, answer
    (lc,) = TESSReducer(**parameters).reduce(Source(name=star, ra=0.0, dec=0.0), answer).lightcurves
    return lc


@pytest.mark.parametrize("name", CASES)
def test_time_flux_errors_and_bad_epochs(tmp_path: Path, name: str) -> None:
    _, cards, star, unit, error, series = CASES[name]
    lc = lightcurve(tmp_path, name)
    is_tess = star.startswith("TIC")
    assert (lc.band, lc.series, lc.flux_unit) == ("TESS" if is_tess else "Kepler", series, unit)
    np.testing.assert_allclose(lc.time, (56999.5 + TESS if is_tess else 54832.5 + KEPLER) + DAY, atol=1e-8)
    scale = np.median(lc.flux) / np.median(SIGNAL)
    offset = 0.005 * 500 if name == "K2SC" else 0.0
    np.testing.assert_allclose(lc.flux + offset, (scale + offset / np.median(SIGNAL)) * SIGNAL, rtol=1e-9)
    np.testing.assert_allclose(lc.flux_err, error, rtol=0.03)
    expected = [] if name == "K2VARCAT" else [BAD]
    assert np.flatnonzero(lc.qflag).tolist() == expected
    assert (lc.time_system.scale, lc.time_system.reference, lc.time_system.point) == ("tdb", "barycenter", "middle")
    mag = {"relative": cards.get("TESSMAG", cards.get("KEPMAG", np.nan)), "e-/s": np.nan}[unit]
    if mag == mag:
        assert lc.mag_moments[0] == pytest.approx(mag, abs=0.03)


@pytest.mark.parametrize("name", [name for name in CASES if name != "K2SC"])
def test_simple_flux(tmp_path: Path, name: str) -> None:
    lc = lightcurve(tmp_path, name, flux="sap")
    np.testing.assert_allclose(lc.flux / lc.flux[0], SIGNAL**2 / SIGNAL[0] ** 2, rtol=1e-9)


def test_tasoc_without_corrected_flux_gives_the_raw_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns, *others = CASES["TASOC"]
    monkeypatch.setitem(CASES, "TASOC", ({**columns, "FLUX_CORR": ("D", np.full(N, np.nan))}, *others))
    lc = lightcurve(tmp_path, "TASOC")
    assert lc.flux_unit == "e-/s"
    np.testing.assert_allclose(lc.flux, 500 * SIGNAL**2)


def test_bits_of_the_mission_are_the_config_s_and_qlp_keeps_twelve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, *others = CASES["QLP"]
    flags = np.zeros(N, np.int64)
    flags[[1, 2, 3]] = 128, 512, 1 << 14
    monkeypatch.setitem(CASES, "QLP", ({**columns, "QUALITY": ("J", flags)}, *others))
    assert np.flatnonzero(lightcurve(tmp_path, "QLP").qflag).tolist() == [1]


def test_an_unknown_file_names_the_pipelines() -> None:
    table = RawTable(columns={"TIME": np.zeros(1), "FLUX": np.zeros(1)}, origin="x.fits")
    with pytest.raises(DataError, match=r"x\.fits has no column 'PDCSAP_FLUX', nor is it of QLP, .*eleanor, TASOC"):
        TESSReducer().reduce(Source(name="X", ra=0.0, dec=0.0), RawPhotometry(tables=(table,)))
