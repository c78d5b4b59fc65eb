"""Searches from Python: runs, candidates, completeness, light curves for other packages, the database."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from matplotlib.figure import Figure

import retriever as package
from retriever import finders
from retriever.api.candidates import threshold_of_purity
from retriever.api.version import Version
from retriever.errors import AbortedRun, ConfigError, RetrieverError, StoreError
from retriever.finders.peak import PeakFinder
from retriever.store import models
from tests.helpers import flat_lightcurve

SMALL = ("catalog.size=40", "observatories.demo.epochs=60")


@pytest.fixture
def version(made_once, stand: Path) -> Version:
    made_once((*SMALL, "observatories.demo.flares=0.4", "scrambler=standard", "finder.snr_threshold=3.0"))
    return package.open().versions["DEMO"]


# ---- run -------------------------------------------------------------------------------------------------------------


def test_a_run_from_python_is_that_of_the_command_line(retriever, stand: Path) -> None:
    assert retriever("run", *SMALL, "finder.snr_threshold=8.5", "simulator=box").code == 0
    (name,) = package.open().versions
    for given in ({"snr_threshold": 8.5}, PeakFinder(snr_threshold=8.5)):
        assert package.run(*SMALL, finder=given, simulator="box", quiet=True).name == name
    assert package.run(*SMALL, "finder.snr_threshold=8.5", simulator="box", quiet=True).name == name
    assert len(package.open().versions) == 1


def test_sources_of_a_version_are_a_catalog(stand: Path) -> None:
    sky = {"name": ["A", "B"], "ra": [1.0, 2.0], "dec": [3.0, 4.0], "aliases": [["TIC 1", 'a "b"'], []]}
    first = package.run("observatories.demo.epochs=20", catalog=sky, quiet=True)
    second = package.run("observatories.demo.epochs=20", catalog=first.sources, quiet=True)
    pd.testing.assert_frame_equal(second.sources, first.sources)
    again = package.run("observatories.demo.epochs=20", catalog={**sky, "aliases": ["TIC 1", ""]}, quiet=True)
    assert again.source("TIC 1").name == "A" and again.source("B").catalog.aliases == first.source("B").catalog.aliases


def test_all_finders_can_be_given_as_they_are(stand: Path) -> None:
    composite = finders.CompositeFinder(finders={"peaks": PeakFinder(), "fits": finders.MatchedFilter(shape="box")})
    found = package.run(*SMALL, "run.stages=[download,reduce]", finder=composite, quiet=True)
    plain = found.config.finder
    assert plain._target_ == "retriever.finders.composite.CompositeFinder"
    assert plain.finders.fits == {"_target_": "retriever.finders.matched_filter.MatchedFilter", **plain.finders.fits}
    assert plain.finders.fits["shape"] == "box"


def test_a_class_of_ones_own_in_the_current_folder(stand: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (stand / "own_finder_of_test.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True, kw_only=True)\nclass Nothing:\n"
        "    kernels: int = 3\n\n    def find(self, lightcurve):\n        return {}, ()\n"
    )
    sys.path.insert(0, str(stand))
    from own_finder_of_test import Nothing

    version = package.run(*SMALL, finder=Nothing(kernels=20), quiet=True)
    assert version.config.finder.kernels == 20 and version.detections.empty
    sys.modules.pop("own_finder_of_test")


def test_catalogs_are_columns_tables_or_choices(stand: Path) -> None:
    columns = {"name": ["A", "B"], "ra": [10.0, 20.0], "dec": [0.0, -5.0]}
    for given in (columns, pd.DataFrame(columns)):
        sources = package.run(catalog=given, quiet=True).sources
        assert sources["name"].tolist() == ["A", "B"] and sources["dec"].tolist() == [0.0, -5.0]
    pd.DataFrame(columns).to_csv("mine.csv", index=False)
    assert package.run(catalog="mine.csv", quiet=True).sources["name"].tolist() == ["A", "B"]
    assert len(package.run(catalog={"size": 7}, quiet=True).sources) == 7
    one = package.run(catalog={"name": "A", "ra": 10.0, "dec": 1.0}, quiet=True)
    assert one.sources["ra"].tolist() == [10.0]


def test_what_cannot_be_run_is_told(stand: Path) -> None:
    class Local(PeakFinder):
        pass

    for words, text in (
        ({"finder": {"snr_treshold": 8}}, "no parameter 'snr_treshold'; did you mean 'snr_threshold'"),
        ({"findr": {"snr_threshold": 8}}, "the config has no 'findr'; did you mean 'finder'"),
        ({"finder": "peek"}, "no 'peek' among the choices of 'finder'; did you mean 'peak'"),
        ({"finder": Local()}, "a Local, whose code is in no file"),
        ({"finder": 3}, "a int; give the name of a choice"),
        ({"catalog": {"name": ["A"], "ra": [1.0, 2.0], "dec": [1.0]}}, "differ in length"),
    ):
        with pytest.raises(RetrieverError, match=text):
            package.run(*SMALL, quiet=True, **words)
    assert not Path("outputs").exists()


def test_a_run_that_was_aborted_is_an_error(stand: Path) -> None:
    (stand / "own").mkdir()
    for name in "AB":
        (stand / "own" / f"{name}.csv").write_text("mjd,mag\n1,x\n")
    columns = {"name": ["A", "B"], "ra": [1.0, 2.0], "dec": [1.0, 2.0]}
    with pytest.raises(AbortedRun, match=r"outputs.FOLDER"):
        package.run("paths.lightcurves=own", "run.max_failures=0", observatory="folder", catalog=columns, quiet=True)


def test_the_summary_is_printed_unless_quiet(stand: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package.run(*SMALL)
    assert "complete: " in capsys.readouterr().out
    package.run(*SMALL, quiet=True)
    assert capsys.readouterr().out == ""


# ---- candidates --------------------------------------------------------------------------------------------------------


def test_candidates_are_the_strongest_detections_first_with_their_light_curves(version: Version) -> None:
    found = version.candidates()
    assert len(found) == len(version.detections) > 1
    sizes = [abs(each["snr"]) for each in found]
    assert sizes == sorted(sizes, reverse=True)
    first = found[0]
    row = version.detections.loc[version.detections["snr"].abs().idxmax()]
    pd.testing.assert_series_equal(pd.Series(dict(first)), row, check_names=False)
    assert len(first) == len(row)
    lc = first.lightcurve
    assert (lc.source, lc.observatory, lc.number, lc.level) == (row["source"], "demo", row["lightcurve"], "processed")
    assert lc.extra["snr"][row["peak"]] == pytest.approx(row["snr"])
    assert row["peak"] in lc.detections["peak"].tolist()
    assert first.address in repr(first) and "candidates" in repr(found) and "<table" in found._repr_html_()
    assert len(found[:1]) == 1 and found[:1][0].address == first.address
    ax = first.plot(Figure().subplots())
    assert ax.patches and row["source"] in ax.get_title()
    strong = version.candidates(snr=sizes[1])
    assert [each.address for each in strong] == [each.address for each in found[:2]]
    pd.testing.assert_frame_equal(strong.to_pandas(), found.to_pandas()[:2])


def test_a_purity_is_turned_into_the_threshold_that_keeps_it(version: Version) -> None:
    rows = version.thresholds.to_dict("records")
    threshold = threshold_of_purity(rows, 0.5)
    assert {each["snr"] for each in version.candidates(purity=0.5)} == {
        snr for snr in version.detections["snr"] if abs(snr) >= threshold
    }
    nan = float("nan")
    rows = [
        {"threshold": at, "purity_flipped": flipped, "purity_shuffled": shuffled}
        for at, flipped, shuffled in (
            (4.0, 0.95, 1.0),
            (5.0, 0.6, 1.0),
            (6.0, 0.92, 0.9),
            (7.0, 1.0, nan),
            (8.0, nan, nan),
        )
    ]
    assert threshold_of_purity(rows, 0.9) == 6.0  # 4.0 is pure by chance: 5.0 is not
    assert threshold_of_purity(rows, 0.95) == 7.0
    with pytest.raises(ConfigError, match="share from 0 to 1"):
        threshold_of_purity(rows, 90)
    with pytest.raises(ConfigError, match="no threshold"):
        threshold_of_purity(rows[:2], 0.9)
    with pytest.raises(ConfigError, match="nothing was scrambled"):
        threshold_of_purity(rows[4:], 0.9)


def test_completeness_is_that_of_the_tables(version: Version) -> None:
    single = version.completeness()
    stored = version.table("completeness").query("quantity == 'snr'")
    np.testing.assert_allclose(single.table["completeness"], stored["completeness"])
    np.testing.assert_allclose(single.table["snr_from"], stored["from"])
    assert single.by == ("snr",) and single.plot(Figure().subplots()).get_ylabel() == "completeness"
    both = version.completeness("snr", "width", bins=2)
    assert both.table["injected"].sum() == single.table["injected"].sum()
    assert both.plot(Figure().subplots()).get_ylabel() == "width (d)"
    assert "<table" in both._repr_html_()
    with pytest.raises(ConfigError, match="no quantity 'colour'"):
        version.completeness("colour")


def test_detrended_light_curves_are_what_was_searched(stand: Path) -> None:
    version = package.run(*SMALL, "detrend.window=100", "detrend.gap=0", detrend="running_median", quiet=True)
    source = version.source(version.lightcurves["source"][0])
    reduced, detrended, processed = (source.lightcurves(level)[0] for level in ("reduced", "detrended", "processed"))
    assert not np.array_equal(reduced.flux, detrended.flux)
    np.testing.assert_array_equal(detrended.flux, processed.flux)


def test_a_source_is_plotted_with_its_detections_or_injected_events(version: Version) -> None:
    source = version.candidates()[0].source
    ax = source.plot(Figure().subplots())
    assert len(ax.patches) == len(source.detections) and "processed" in ax.get_title()
    name = version.injections["source"][0]
    assert version.source(name).plot(Figure().subplots(), level="simulated").lines
    with pytest.raises(ConfigError, match="no level 'cooked'"):
        source.plot(level="cooked")


# ---- other packages ----------------------------------------------------------------------------------------------------


def test_folding_keeps_usable_epochs_at_their_phase(version: Version) -> None:
    lc = version.candidates()[0].lightcurve
    folded = lc.fold(3.3, epoch=58000.0)
    assert len(folded) == np.count_nonzero(lc.usable) and folded["phase"].is_monotonic_increasing
    np.testing.assert_allclose(58000.0 + 3.3 * (folded["cycle"] + folded["phase"]), folded["time"])
    with pytest.raises(ConfigError, match="above zero"):
        lc.fold(-1.0)


def test_time_series_have_times_units_and_where_they_come_from(version: Version) -> None:
    lc = version.candidates()[0].lightcurve
    series = lc.to_timeseries()
    assert series.time.scale == "utc" and str(series["flux"].unit) == "uJy" and str(series["mag"].unit) == "mag"
    np.testing.assert_array_equal(series.time.mjd, lc.time)
    np.testing.assert_array_equal(series["bjd"].value, lc.bjd)
    assert series.meta["source"] == lc.source and series.meta["version"] == version.name


def test_lightkurve_gets_usable_epochs_in_bjd(version: Version) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what it lacks itself
        pytest.importorskip("lightkurve", reason="lightkurve is not installed (pip install lightkurve)")
    lc = version.candidates()[0].lightcurve
    theirs = lc.to_lightkurve()
    np.testing.assert_array_equal(theirs.flux.value, lc.flux[lc.usable])
    np.testing.assert_allclose(theirs.time.tdb.mjd, lc.bjd[lc.usable], atol=1e-9)
    assert theirs.flux.unit.to_string() == "uJy" and theirs.meta["LABEL"] == lc.source


def test_finders_work_by_themselves() -> None:
    flux = flat_lightcurve().flux.copy()
    flux[20] += 50.0
    _, (event,) = finders.PeakFinder(snr_threshold=6.0).find(flat_lightcurve(flux=flux))
    assert event.peak == 20 and set(finders.__all__) == set(dir(finders))
    assert all(hasattr(getattr(finders, name), "find") for name in finders.__all__)
    with pytest.raises(AttributeError, match="no attribute 'PeekFinder'"):
        finders.PeekFinder  # noqa: B018


# ---- database ----------------------------------------------------------------------------------------------------------


def test_the_database_can_be_asked_and_not_changed(version: Version) -> None:
    archive = package.open()
    with archive.session() as session:
        names = session.scalars(sa.select(models.Source.name).where(models.Source.dec > 0)).all()
        assert set(names) == set(version.sources.query("dec > 0")["name"])
        assert session.scalars(sa.select(models.Version)).one().name == version.name
    with pytest.raises(StoreError, match="can only be read here"), archive.session() as session:
        session.execute(sa.delete(models.Source))
    with archive.session() as session:
        assert len(session.scalars(sa.select(models.Source.name)).all()) == 40
    for path in Path("outputs").glob("retriever.db*"):
        path.unlink()
    with pytest.raises(StoreError, match="no database; make it anew"), archive.session():
        pass
    assert not list(Path("outputs").glob("retriever.db*"))


def test_a_session_reads_postgresql_and_cannot_change_it(stand: Path, postgres: str, monkeypatch) -> None:
    monkeypatch.setenv("RETRIEVER_DATABASE", postgres)
    package.run(*SMALL, store="postgres", quiet=True)
    monkeypatch.delenv("RETRIEVER_DATABASE")
    (stand / "elsewhere").mkdir()
    monkeypatch.chdir(stand / "elsewhere")
    archive = package.open(postgres)
    assert archive.outputs == stand / "outputs" and archive.data == stand / "data"
    assert len(archive.versions["DEMO"].source("random_000000").lightcurves("raw")) > 0
    with archive.session() as session:
        assert len(session.scalars(sa.select(models.Source.name)).all()) == 40
    with pytest.raises(StoreError, match="can only be read here"), package.open(postgres).session() as session:
        session.execute(sa.delete(models.Source))


def test_a_database_says_where_its_versions_lie(version: Version, retriever, tmp_path: Path) -> None:
    address = "sqlite:///outputs/retriever.db"
    for again in (False, True):
        if again:
            assert retriever("rebuild").code == 0
        archive = package.open(address)
        assert list(archive.versions) == [version.name] and archive.outputs == Path("outputs").absolute()
        assert package.open(address, data=tmp_path / "other").data == tmp_path / "other"
    assert "sqlite" not in repr(archive)
    nowhere = tmp_path / "none.db"
    with pytest.raises(StoreError, match="there is no database"):
        package.open(f"sqlite:///{nowhere}")
    assert not nowhere.exists()
    nowhere.touch()
    with pytest.raises(StoreError, match="cannot read the database"):
        package.open(f"sqlite:///{nowhere}")
    for wrong in (
        "postgresql://me:secret@/[x",
        "nothing://me:secret@host/name",
        "postgresql://me:secret@127.0.0.1:1/x",
    ):
        with pytest.raises(StoreError) as told:
            package.open(wrong)
        assert "secret" not in str(told.value) and "database" in str(told.value)


def test_a_version_is_opened_without_matplotlib(version: Version) -> None:
    text = (
        "import retriever, sys; v = retriever.open('outputs').versions['DEMO']; v.candidates()[0].lightcurve; "
        "print([name for name in ('matplotlib', 'hydra', 'sqlalchemy', 'xarray') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", text], text=True).strip() == "[]"


# ---- partitioned frames ----------------------------------------------------------------------------------------------


def test_tables_in_partitions_are_the_tables(version: Version) -> None:
    pytest.importorskip("dask.dataframe", reason="dask is not installed (pip install 'retriever[nested]')")
    import dask

    with dask.config.set(scheduler="synchronous"):
        for name in ("detections", "products", "false_alarms", "lightcurves"):
            parts = version.to_dask(name)
            pd.testing.assert_frame_equal(
                parts.compute().reset_index(drop=True), version.table(name), check_dtype=False, check_column_type=False
            )
        some = version.to_dask(columns=["source", "snr"])
        assert (
            list(some.columns) == ["source", "snr"] and some.compute()["snr"].sum() == version.detections["snr"].sum()
        )
    with pytest.raises(StoreError, match="no table 'detection'"):
        version.to_dask("detection")


def test_nested_light_curves_in_partitions_are_those_of_the_sources(version: Version) -> None:
    nested_pandas = pytest.importorskip("nested_pandas", reason="nested-pandas is not installed")
    import dask

    parts = version.to_nested(level="reduced", sources_per_partition=15)
    assert parts.npartitions == 3
    with dask.config.set(scheduler="synchronous"):
        frame = parts.compute()
        assert isinstance(frame, nested_pandas.NestedFrame) and isinstance(parts.partitions[1].compute(), type(frame))
        assert frame["name"].tolist() == version.sources["name"].tolist()
        for name in version.lightcurves["source"][::9]:
            (lc,) = version.source(name).lightcurves("reduced")
            (epochs,) = frame[frame["name"] == name]["lightcurve"]
            np.testing.assert_array_equal(np.asarray(epochs["flux"], float), lc.flux)
        two = version.to_nested(sources=["random_000007", "random_000003"]).compute()
        assert two["name"].tolist() == ["random_000007", "random_000003"]
    for wrong in ({"level": "raw"}, {"level": "cooked"}, {"sources_per_partition": 0}):
        with pytest.raises(ConfigError):
            version.to_nested(**wrong)
    with pytest.raises(StoreError, match="nobody"):
        version.to_nested(sources=["nobody"])
