"""Whole runs over real light curves, against counts and searches made with astropy and plain loops alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

from retriever.finders.peak import PeakFinder
from tests.finders.test_peak import plain_search
from tests.helpers import flat_lightcurve, tables, version_folder


def plain_in_sigmas(values: np.ndarray, trusted: np.ndarray) -> np.ndarray:
    center = np.median(values[trusted])
    scatter = 1.482602218505602 * np.median(np.abs(values[trusted] - center))
    return (values - center) / scatter


def plain_events(time, flux, err, bad, x, y) -> list[tuple[float, float, float, int]]:
    """Quality and finder as documented: (first, peak, last) times and number of epochs of each event."""
    bad = bad | ~np.isfinite(flux) | ~np.isfinite(err)
    trusted = ~bad & np.isfinite(x) & np.isfinite(y)
    if trusted.any():
        with np.errstate(invalid="ignore"):
            bad = bad | (np.hypot(plain_in_sigmas(x, trusted), plain_in_sigmas(y, trusted)) > 10)
    lc = flat_lightcurve(len(time), time=time, flux=flux, flux_err=err, qflag=bad, mag=np.zeros(len(time)))
    return [(time[first], time[peak], time[last], n) for first, peak, last, n in plain_search(lc, PeakFinder())]


def as_set(events: pd.DataFrame) -> set[tuple[float, float, float, int]]:
    columns = ["time_first", "time_peak", "time_last", "n_epochs"]
    return {(round(a, 8), round(b, 8), round(c, 8), int(n)) for a, b, c, n in events[columns].itertuples(index=False)}


def rounded(events: list[tuple[float, float, float, int]]) -> set[tuple[float, float, float, int]]:
    return {(round(a, 8), round(b, 8), round(c, 8), n) for a, b, c, n in events}


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_ten_white_dwarfs_of_ztf(retriever, stand, real_data: Path, executor: str) -> None:
    catalog = real_data / "catalogs" / "ztf_white_dwarfs.csv"
    ended = retriever(
        "run",
        "experiment=ztf_folder",
        f"paths.lightcurves={real_data / 'ztf'}",
        f"catalog.path={catalog}",
        f"executor={executor}",
    )
    assert ended.code == 0, ended
    found = tables(version_folder(stand / "outputs", "ZTF_FOLDER"))
    outcomes = found["products"].query("stage == 'download'").set_index("source")["outcome"]
    assert outcomes.to_dict() == dict.fromkeys(outcomes.index, "done") | {"6555925496084361344": "empty"}
    total = 0
    for row in Table.read(catalog, format="ascii.csv", converters={"source_id": [str]}):
        name = str(row["source_id"])
        answer = Table.read(real_data / "ztf" / f"irsa_{name}.csv", format="ascii.csv")
        raw_rows = found["products"].query("source == @name and stage == 'download'")["rows"].item()
        assert raw_rows == len(answer)
        lightcurves = found["lightcurves"].query("source == @name").set_index("series")
        assert len(lightcurves) == len(set(answer["oid"])) if len(answer) else lightcurves.empty
        for oid in set(answer["oid"]) if len(answer) else ():
            mine = answer[answer["oid"] == oid]
            mine.sort("mjd")
            assert lightcurves.loc[str(oid), "n_epochs"] == len(set(mine["mjd"])) == len(mine)
            assert lightcurves.loc[str(oid), "band"] == mine["filtercode"][0][1:]
            assert lightcurves.loc[str(oid), "time_first"] == mine["mjd"][0]
            flux = (np.asarray(mine["mag"]) * units.ABmag).to_value(units.uJy)
            err = flux * np.asarray(mine["magerr"]) * np.log(10) / 2.5
            places = SkyCoord(mine["ra"], mine["dec"], unit="deg")
            x, y = (angle.to_value(units.arcsec) for angle in places[0].spherical_offsets_to(places))
            expected = plain_events(
                np.asarray(mine["mjd"]), flux, err, (np.asarray(mine["catflags"]) & 32768) != 0, x, y
            )
            number = lightcurves.loc[str(oid), "number"]
            assert as_set(found["detections"].query("source == @name and lightcurve == @number")) == rounded(expected)
            total += len(expected)
    assert total == len(found["detections"]) > 0


def test_stars_of_tess(retriever, stand, real_data: Path) -> None:
    ended = retriever("run", "experiment=tess_folder", f"paths.lightcurves={real_data / 'tess'}")
    assert ended.code == 0, ended
    found = tables(version_folder(stand / "outputs", "TESS_FOLDER"))
    paths = sorted((real_data / "tess").glob("*.fits"))
    assert len(found["lightcurves"]) == len(paths)
    total = 0
    for path in paths:
        with fits.open(path) as hdus:
            header, data = hdus[1].header, hdus[1].data
            name, sector = hdus[0].header["OBJECT"], hdus[0].header["SECTOR"]
            qlp = "KSPSAP_FLUX" in data.names
            series = f"sector {sector}, {header['TIMEDEL'] * 86400:.0f} s" + (", QLP" if qlp else "")
            lightcurve = found["lightcurves"].query("source == @name and series == @series")
            timed = np.isfinite(data["TIME"])
            assert lightcurve["n_epochs"].item() == timed.sum()
            days = data["TIME"].astype(float)
            time = Time(header["BJDREFI"], days[timed], format="jd", scale="tdb").mjd
            column = "KSPSAP_FLUX" if qlp else "PDCSAP_FLUX"
            flux, err = (data[key][timed].astype(float) for key in (column, f"{column}_ERR"))
            bad = (data["QUALITY"][timed] & ((16575 & 4095) | 4096 if qlp else 16575)) != 0
            x, y = (
                data[key][timed].astype(float) for key in (("SAP_X", "SAP_Y") if qlp else ("MOM_CENTR1", "MOM_CENTR2"))
            )
        number = lightcurve["number"].item()
        events = found["detections"].query("source == @name and lightcurve == @number")
        expected = plain_events(time, flux, err, bad, x, y)
        assert len(events) == len(expected)
        np.testing.assert_allclose(events["time_peak"], sorted(peak for _, peak, _, _ in expected), rtol=0, atol=1e-8)
        assert sorted(events["n_epochs"]) == sorted(n for *_, n in expected)
        total += len(expected)
    assert total == len(found["detections"]) > 0
    transits = found["detections"].query("source == 'TIC 55652896' and snr < 0")
    assert (transits["n_epochs"] > 50).any()  # TOI-216: deep transits of hours, at two minutes


def test_raw_tables_of_a_run_are_the_files(retriever, stand, real_data: Path) -> None:
    from retriever.rawbatch import unpack_raw
    from retriever.store.segments import read

    retriever("run", "experiment=kepler_folder", f"paths.lightcurves={real_data / 'kepler'}", "run.stages=[download]")
    for segment in stand.glob("data/KEPLER/**/*.h5"):
        _, stored = read(segment)
        for answer in unpack_raw(stored, range(len(stored["sources"]["name"]))):
            for table in answer.tables:
                with fits.open(real_data / "kepler" / table.origin) as hdus:
                    assert table.headers == tuple(
                        hdu.header.tostring(sep="\n", endcard=False, padding=False) for hdu in hdus
                    )
                    for name in hdus[1].columns.names:
                        expected = hdus[1].data[name]
                        assert table.columns[name].dtype == expected.dtype.newbyteorder("=")
                        np.testing.assert_array_equal(table.columns[name], expected)
