"""Light curves in files of lightkurve, SkyPortal, HATS and AstroRetriever hold the epochs of the version."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.time import Time

import retriever as package
from retriever.api.version import Version
from retriever.errors import ConfigError
from retriever.exports.hdf5 import group_name
from retriever.exports.skyportal import SkyPortal, mjd_utc, object_id
from retriever.lightcurve import TimeSystem
from tests.helpers import flat_lightcurve

SMALL = ("catalog.size=20", "observatories.demo.epochs=40", "observatories.demo.flares=0.5", "observatories.demo.empty=0.2")  # fmt: skip
DEMO = SkyPortal(instruments={"demo": 3}, groups=(5, 7))


@pytest.fixture
def version(made_once, stand: Path) -> Version:
    made_once(SMALL)
    return package.open().versions["DEMO"]


def curves_of(version: Version, level: str = "processed") -> list:
    return [lc for source in version.each_source() for lc in source.lightcurves(level)]


# ---- lightkurve ------------------------------------------------------------------------------------------------------


def test_lightkurve_reads_the_files_as_they_are(version: Version, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightkurve = pytest.importorskip("lightkurve", reason="lightkurve is not installed")
    files, curves = version.export(tmp_path / "lk", "lightkurve"), curves_of(version)
    assert len(files) == len(curves) > 10
    for path, lc in list(zip(files, curves, strict=True))[::4]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = lightkurve.read(path)
        assert read.time.scale == "tdb" and read.meta["OBJECT"] == lc.source and read.meta["FILTER"] == lc.band
        np.testing.assert_allclose(read.time.mjd, lc.bjd, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(read.flux.value, lc.flux)
        np.testing.assert_array_equal(read.flux_err.value, lc.flux_err)
        np.testing.assert_array_equal(np.asarray(read["quality"]) > 0, lc.qflag)
        assert str(read.flux.unit) == lc.flux_unit
        np.testing.assert_array_equal(np.asarray(read["snr"], float), lc.extra["snr"])


def test_fits_files_are_of_the_standard(version: Version, tmp_path: Path) -> None:
    path = version.export(tmp_path / "lk", "lightkurve", level="reduced")[0]
    with fits.open(path, checksum=True) as file:
        file.verify("exception")
        header = file[1].header
        assert (header["TIMESYS"], header["TIMEREF"], header["MJDREFI"]) == ("TDB", "SOLARSYSTEM", 0)
        assert file[0].header["VERSION"] == version.name


# ---- SkyPortal -------------------------------------------------------------------------------------------------------


def test_requests_are_those_of_the_api(version: Version, tmp_path: Path) -> None:
    (path,) = version.export(tmp_path / "p.jsonl", "skyportal", skyportal=DEMO)
    requests, curves = [json.loads(line) for line in path.read_text().splitlines()], curves_of(version)
    assert len(requests) == len(curves)
    for request, lc in zip(requests, curves, strict=True):
        use = lc.usable
        assert (request["obj_id"], request["instrument_id"], request["group_ids"]) == (lc.source, 3, [5, 7])
        assert request["filter"] == lc.band and request["magsys"] == "ab" and request["origin"] == version.name
        assert request["flux"] == lc.flux[use].tolist() and request["fluxerr"] == lc.flux_err[use].tolist()
        # the magnitudes that SkyPortal computes from fluxes and zero point are ours
        flux = np.array(request["flux"])
        mag = request["zp"] - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
        np.testing.assert_allclose(mag, lc.mag[use], atol=1e-6)
        assert len(request["mjd"]) == use.sum() and abs(request["mjd"][0] - lc.time[use][0]) < 1e-3


def test_times_are_utc_in_the_middle_of_the_exposure() -> None:
    """Half of 60 s is 0.5/1440 d; TDB was 69.184 s ahead of UTC in 2018."""
    time, exptime = np.array([58300.0, 58301.0]), np.array([60.0, np.nan])
    for scale, point, expected in (
        ("utc", "start", [58300.0 + 0.5 / 1440, 58301.0]),
        ("utc", "middle", [58300.0, 58301.0]),
        ("utc", "end", [58300.0 - 0.5 / 1440, 58301.0]),
        ("tdb", "middle", [58300.0 - 69.184 / 86400, 58301.0 - 69.184 / 86400]),
    ):
        lc = flat_lightcurve(2, time=time, exptime=exptime, time_system=TimeSystem(scale=scale, point=point))
        np.testing.assert_allclose(mjd_utc(lc), expected, rtol=0, atol=3e-8)
    lc = flat_lightcurve(2, time=time, exptime=exptime, time_system=TimeSystem(scale="tcb", point="middle"))
    np.testing.assert_allclose(mjd_utc(lc), Time(time, format="mjd", scale="tcb").utc.mjd, atol=1e-9)


def test_series_are_as_the_uploader_takes_them(version: Version, tmp_path: Path) -> None:
    """Read as SkyPortal's documentation reads them: one table a file, and a dictionary of metadata beside it."""
    pytest.importorskip("tables", reason="tables is not installed (pip install 'retriever[hdf5]')")
    files, curves = version.export(tmp_path / "s", "skyportal-hdf5", skyportal=DEMO), curves_of(version)
    assert len(files) == len(curves)
    required = {"series_name", "series_obj_id", "obj_id", "instrument_id", "group_ids", "stream_ids", "ra", "dec",
                "exp_time", "filter"}  # fmt: skip
    optional = {"channel", "origin", "magref", "ra_unc", "dec_unc", "time_stamp_alignment", "altdata"}
    for path, lc in zip(files, curves, strict=True):
        with pd.HDFStore(path, mode="r") as store:
            (key,) = store.keys()
            frame, metadata = store[key], store.get_storer(key).attrs.metadata
        assert required <= set(metadata) <= required | optional
        np.testing.assert_array_equal(frame["flux"], lc.flux)
        np.testing.assert_array_equal(frame["mjd"], mjd_utc(lc))
        assert {"fluxerr", "mag", "magerr"} <= set(frame)
        assert metadata["obj_id"] == lc.source and metadata["time_stamp_alignment"] == "middle"


def test_what_skyportal_has_to_be_told(version: Version, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--instrument demo=NUMBER"):
        version.export(tmp_path / "p.jsonl", "skyportal")
    named = SkyPortal(instruments={"DEMO": 1}, filters={"r": "sdssr"})
    (path,) = version.export(tmp_path / "p.jsonl", "skyportal", skyportal=named)
    assert {json.loads(line)["filter"] for line in path.read_text().splitlines()} == {"sdssr"}
    assert {json.loads(line)["group_ids"] for line in path.read_text().splitlines()} == {"all"}
    known = SkyPortal()
    assert [known.filter(*pair) for pair in (("ZTF", "zg"), ("atlas", "o"), ("GAIA", "BP"), ("X", "r"))] == [
        "ztfg", "atlaso", "gaia::gbp", "r"
    ]  # fmt: skip


# ---- AstroRetriever's layout ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "word"), [("reduced", "reduction"), ("processed", "processed")])
def test_files_by_right_ascension_have_a_group_a_light_curve(version, tmp_path, level, word) -> None:
    pytest.importorskip("tables", reason="tables is not installed (pip install 'retriever[hdf5]')")
    files = {path.name: path for path in version.export(tmp_path / "h", "hdf5", level=level)}
    found = 0
    for source in version.each_source():
        for lc in source.lightcurves(level):
            path = files[f"DEMO_photometry_RA{int(source.catalog.ra):03d}_{level}.h5"]
            frame = pd.read_hdf(path, f"{source.name}_{word}_{lc.number:02d}_of_{lc.of:02d}")
            for column, own in (("mjd", lc.time), ("flux", lc.flux), ("magerr", lc.mag_err), ("qflag", lc.qflag)):
                np.testing.assert_array_equal(frame[column], own)
            assert (frame["filter"] == lc.band).all() and ("snr" in frame) == (level == "processed")
            found += 1
    assert found == len(version.lightcurves) > 0


def test_raw_tables_are_groups_named_after_their_sources(version, tmp_path) -> None:
    pytest.importorskip("tables", reason="tables is not installed (pip install 'retriever[hdf5]')")
    files = {path.name: path for path in version.export(tmp_path / "raw", "hdf5", level="raw")}
    for source in version.each_source():
        for table in source.lightcurves("raw"):
            frame = pd.read_hdf(files[f"DEMO_photometry_RA{int(source.catalog.ra):03d}.h5"], source.name)
            assert list(frame) == list(table.columns)
            for name, column in table.columns.items():
                np.testing.assert_array_equal(frame[name].to_numpy(), column)


# ---- HATS ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_a_hats_catalog_has_every_source_in_its_pixel(version, tmp_path) -> None:
    hats = pytest.importorskip("hats", reason="hats-import is not installed (pip install 'retriever[hats]')")
    files = version.export(tmp_path / "catalog", "hats", level="reduced")
    assert tmp_path / "catalog" / "hats.properties" in files
    catalog = hats.read_hats(tmp_path / "catalog")
    assert catalog.catalog_info.total_rows == 20 and catalog.catalog_name == version.name
    frame = pd.read_parquet(tmp_path / "catalog" / "dataset")
    assert sorted(frame["name"]) == sorted(version.sources["name"])
    for source in version.each_source():
        for lc in source.lightcurves("reduced"):
            (epochs,) = frame[frame["name"] == source.name]["lightcurve"]
            np.testing.assert_array_equal(np.asarray(epochs["flux"], float), lc.flux)


# ---- the sky -----------------------------------------------------------------------------------------------------


def test_a_moc_has_the_cells_of_the_sources_and_no_others(version, tmp_path) -> None:
    mocpy = pytest.importorskip("mocpy", reason="mocpy is not installed (pip install 'retriever[moc]')")
    import astropy.units as u

    (path,) = version.export(tmp_path / "sky.fits", "moc")
    moc, sources = mocpy.MOC.load(path, "fits"), version.sources
    ra, dec = (sources[name].to_numpy() * u.deg for name in ("ra", "dec"))
    assert moc == version.moc() and moc.max_order == 10
    assert moc.contains_lonlat(ra, dec).all() and not moc.contains_lonlat(ra, dec + 0.5 * u.deg).any()
    # 20 cells of order 10, none of them shared
    assert moc.sky_fraction == pytest.approx(20 / (12 * 4**10))
    with pytest.raises(ConfigError, match="0 to 29"):
        version.moc(30)


def test_cells_of_a_moc_are_drawn_where_they_are() -> None:
    mocpy = pytest.importorskip("mocpy", reason="mocpy is not installed (pip install 'retriever[moc]')")
    import astropy.units as u
    from matplotlib.figure import Figure

    from retriever.plots import plot_sky

    ra, dec = np.array([20.0, 180.0]), np.array([10.0, 0.0])
    moc = mocpy.MOC.from_lonlat(ra * u.deg, dec * u.deg, max_norder=3)
    ax = plot_sky(ra, dec, Figure().add_subplot(projection="aitoff"), moc=moc)
    cells = [path.vertices.mean(axis=0) for path in ax.collections[0].get_paths()]
    # a cell of order 3 is 7 degrees wide; that at 180 degrees is drawn at both edges
    assert len(cells) == 3
    places = sorted(np.degrees(x) for x, _ in cells)
    np.testing.assert_allclose(places, [-180.0, -20.0, 180.0], atol=8.0)


# ---- names and words -------------------------------------------------------------------------------------------------


def test_names_never_become_paths_or_groups(stand: Path, tmp_path: Path) -> None:
    pytest.importorskip("tables", reason="tables is not installed (pip install 'retriever[hdf5]')")
    names = ["<script>", "../../x", "=HYPERLINK()", "é ñ", "n" * 1000, "a/b", "a_b", ".", "__class__"]
    catalog = {"name": names, "ra": [10.0] * 9, "dec": [float(k) for k in range(9)]}
    version = package.run("observatories.demo.epochs=20", catalog=catalog, quiet=True)
    before = set(stand.parent.iterdir())
    (path,) = version.export(stand / "h", "hdf5", level="reduced")
    with pd.HDFStore(path, mode="r") as store:
        assert len(store.keys()) == 9
        assert {store.get_storer(key).attrs.metadata["source_name"] for key in store} == set(names)
    assert (
        len(version.export(stand / "lk", "lightkurve"))
        == len(version.export(stand / "s", "skyportal-hdf5", skyportal=DEMO))
        == 9
    )
    assert set(stand.parent.iterdir()) == before
    assert {path.parent for path in (stand / "lk").rglob("*")} == {stand / "lk"}
    assert len({group_name(name) for name in names}) == 9 and object_id("a/b c") == "a_b_c"


def test_the_command(retriever, version, stand) -> None:
    words = ["export", version.name]
    ended = retriever(
        *words, "p.jsonl", "--format", "skyportal", "--instrument", "demo=3", "--group", "5", "--filter", "r=x"
    )
    assert ended.code == 0, ended
    assert json.loads((stand / "p.jsonl").read_text().splitlines()[0])["filter"] == "x"
    pytest.importorskip("tables", reason="tables is not installed (pip install 'retriever[hdf5]')")
    ended = retriever(*words, "h", "--layout", "per-source", "--level", "raw")
    assert ended.code == 0 and all(Path(line).suffix == ".h5" for line in ended.out.splitlines())
    for wrong, text in (
        (["x"], "takes --format"),
        (["x", "--format", "csv", "--layout", "per-source"], "takes --format"),
        (["x", "--format", "skyportal", "--instrument", "demo"], "NAME=VALUE"),
        (["x", "--format", "skyportal", "--instrument", "demo=a"], "not 'a'"),
        (["x", "--format", "skyportal", "--group", "-1"], "group"),
        (["x", "--format", "lightkurve", "--level", "raw"], "cannot be exported"),
    ):
        ended = retriever(*words, *wrong)
        assert ended.code == 2 and text in ended.err, ended
    assert not (stand / "x").exists()
