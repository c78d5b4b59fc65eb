"""Archives that speak TAP, against a service on loopback that really runs the queries."""

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from retriever.client.http import Client
from retriever.config import CONFIG_FOLDER, build_setup
from retriever.errors import ConfigError, FetchError
from retriever.observatories.tap import TAPObservatory
from retriever.source import Source
from tests.archive import Archive, by_chance
from tests.tap_server import TAPServer

CLIENT = {"wait": 0.01, "wait_max": 0.05, "per_second": 0.0, "read_timeout": 2.0}
CONE = (
    "SELECT mjd, mag, magerr, band, who FROM epochs "
    "WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra}, {dec}, {radius}))"
)
UPLOAD = (
    "SELECT s.retriever_row, e.mjd, e.mag, e.magerr, e.band, e.who FROM TAP_UPLOAD.sources AS s, epochs AS e "
    "WHERE 1 = CONTAINS(POINT('ICRS', e.ra, e.dec), CIRCLE('ICRS', s.ra, s.dec, s.radius))"
)
SOURCES = [Source(name=f"S{k}", ra=10.0 * k, dec=5.0 - k, mag=15.0) for k in range(8)]


def epochs(each: int = 5) -> dict[str, list]:
    rng = np.random.default_rng(1)
    rows = [(source.ra, source.dec, 58000.0 + k, 15 + rng.normal(0, 0.1), 0.1, "gr"[k % 2], source.name)
            for source in SOURCES[:6] for k in range(each)]  # fmt: skip
    names = ("ra", "dec", "mjd", "mag", "magerr", "band", "who")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


@pytest.fixture
def server():
    with Archive().serving() as archive:
        yield TAPServer(archive, {"epochs": epochs()})


def observatory(server: TAPServer, **how) -> TAPObservatory:
    client = Client(**{**CLIENT, **how.pop("client", {})})
    return TAPObservatory(**{"survey": "T", "query": CONE, "url": server.url, "client": client, **how})


def whose(answers) -> list[list[str]]:
    return [sorted(set(answer.tables[0].columns["who"].tolist())) if answer.n_rows else [] for answer in answers]


EXPECTED = [[source.name] for source in SOURCES[:6]] + [[], []]


@pytest.mark.parametrize("upload", [False, True])
def test_the_radius_has_room_for_proper_motion(server, upload) -> None:
    # 3 arcsec a year: at the epoch of the query it is 6 arcsec from where it was seen
    star = Source(name="S1", ra=SOURCES[1].ra, dec=SOURCES[1].dec, pmra=0.0, pmdec=3000.0, epoch=2016.0)
    words = {"query": UPLOAD if upload else CONE, "upload": upload, "epoch": 2018.0, "radius": 1.0}
    assert whose(observatory(server, **words).fetch([star])) == [[]]
    wide = observatory(server, **words, half_span=2.0)
    assert whose(wide.fetch([star])) == [["S1"]]
    assert wide.request(star)["radius"] == round(7.0 / 3600, 9)
    assert wide.request(SOURCES[0])["radius"] == round(1.0 / 3600, 9)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("upload", [False, True])
def test_each_source_gets_its_own_rows_whatever_the_way_of_asking(server, upload, asynchronous) -> None:
    one = observatory(server, query=UPLOAD if upload else CONE, upload=upload, asynchronous=asynchronous)
    answers = list(one.fetch(SOURCES))
    assert whose(answers) == EXPECTED
    assert [answer.n_rows for answer in answers] == [5] * 6 + [0, 0]
    assert "retriever_row" not in answers[0].tables[0].columns
    assert answers[0].tables[0].columns["mag"].tolist() == epochs()["mag"][:5]
    assert answers[0].provenance["address"] == server.url and answers[0].provenance["fetched"]
    n_queries = len(server.jobs) if asynchronous else len(server.archive.seen)
    assert n_queries == (1 if upload else 8)
    assert len(server.deleted) == len(server.jobs)


def test_upload_and_single_questions_give_the_same_data(server) -> None:
    single = list(observatory(server).fetch(SOURCES[:2]))
    many = list(observatory(server, query=UPLOAD, upload=True).fetch(SOURCES[:2]))
    assert [answer.digest() for answer in single] == [answer.digest() for answer in many]


def test_an_answer_that_is_cut_is_never_taken_for_whole(server) -> None:
    server.max_rows = 4
    (answer,) = observatory(server).fetch(SOURCES[:1])
    assert isinstance(answer, FetchError) and "OVERFLOW" in str(answer) and len(server.archive.seen) == 1
    server.max_rows = 11  # an upload that is too much is asked for in parts
    assert whose(observatory(server, query=UPLOAD, upload=True).fetch(SOURCES)) == EXPECTED


def test_errors_in_a_query_are_told_and_not_repeated(server) -> None:
    (answer,) = observatory(server, query="SELECT absent FROM epochs WHERE ra = {ra}").fetch(SOURCES[:1])
    assert isinstance(answer, FetchError) and "no such column" in str(answer)
    assert len(server.archive.seen) == 1


def test_a_job_that_fails_is_told_and_removed(server) -> None:
    server.fail_jobs = True
    (answer,) = observatory(server, asynchronous=True).fetch(SOURCES[:1])
    assert isinstance(answer, FetchError) and "We have problem" in str(answer)
    assert server.deleted == ["1"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_may_pass_is_asked_again(server, asynchronous) -> None:
    server.archive.fault = by_chance(0.25, ("503", "reset", "half", "html"), seed=4)
    answers = observatory(server, asynchronous=asynchronous, client={"attempts": 9}).fetch(SOURCES)
    assert whose(answers) == EXPECTED


def test_names_cannot_leave_their_quotes(server) -> None:
    server.tables["epochs"]["who"][0] = "O'Neill's star"
    query = "SELECT mjd, who FROM epochs WHERE who = '{name}'"
    evil = Source(name="x' OR '1'='1", ra=0.0, dec=0.0)
    good = Source(name="O'Neill's star", ra=0.0, dec=0.0)
    nothing, found = observatory(server, query=query).fetch([evil, good])
    assert nothing.is_empty and found.n_rows == 1


def test_answers_are_cached_until_they_are_released(server, tmp_path) -> None:
    for query, upload in ((CONE, False), (UPLOAD, True)):
        one = observatory(server, query=query, upload=upload, client={"cache": str(tmp_path)})
        first = list(one.fetch(SOURCES))
        count = len(server.archive.seen)
        assert [answer.digest() for answer in one.fetch(SOURCES)] == [answer.digest() for answer in first]
        assert len(server.archive.seen) == count
        one.client.release(one.survey, SOURCES)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_wrong_configs_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'radius'"):
        TAPObservatory(query="SELECT {raduis}")
    with pytest.raises(ConfigError, match=r"TAP_UPLOAD.sources"):
        TAPObservatory(query="SELECT 1", upload=True)
    with pytest.raises(ConfigError, match="group"):
        TAPObservatory(query="SELECT {id}", id_pattern=r"\d+")


# ---- the presets -------------------------------------------------------------------------------------------------


def preset(name: str, server: TAPServer):
    at = f"observatories.{name}"
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        words = [f"observatory={name}", f"{at}.url={server.url}", f"{at}.client.wait=0.01"]
        setup = build_setup(compose("config", words))
    return setup.observatories[name], setup.reducers[name]


def test_gaia_epoch_photometry(server) -> None:
    server.tables = {"I/355/epphot": {
        "Source": [4295806720, 4295806720, 99], "TransitID": [1, 2, 3], "TimeG": [1700.5, 1710.5, 1.0],
        "FG": [1000.0, 1100.0, 1.0], "e_FG": [10.0, 11.0, 1.0], "Gmag": [18.19, 18.08, 1.0], "GrVFlag": [0, 1, 0],
        "TimeBP": [1700.6, None, 1.0], "FBP": [500.0, None, 1.0], "e_FBP": [20.0, None, 1.0], "BPmag": [18.5, None, 1.0],
        "BPrVFlag": [0, 0, 0], "TimeRP": [1700.7, 1710.7, 1.0], "FRP": [700.0, 710.0, 1.0], "e_FRP": [9.0, 9.0, 1.0],
        "RPmag": [17.6, 17.6, 1.0], "RPrVFlag": [0, 0, 0],
    }}  # fmt: skip
    observatory, reducer = preset("gaia_epochs", server)
    star = Source(name="X", ra=44.99, dec=0.0, aliases=("Gaia DR3 4295806720",))
    found, not_asked = observatory.fetch([star, Source(name="no number", ra=1.0, dec=1.0)])
    assert found.n_rows == 2 and not_asked.is_empty and "not asked" in not_asked.provenance["status"]
    by_band = {lc.band: lc for lc in reducer.reduce(star, found).lightcurves}
    assert {band: lc.n_epochs for band, lc in by_band.items()} == {"G": 2, "BP": 1, "RP": 2}
    assert by_band["G"].time.tolist() == [1700.5 + 55197.0, 1710.5 + 55197.0]
    assert by_band["G"].mag[0] == pytest.approx(25.6874 - 7.5) and by_band["G"].qflag.tolist() == [False, True]
    assert by_band["G"].time_system.scale == "tcb"


def test_neowise(server) -> None:
    server.tables = {"neowiser_p1bs_psd": {
        "mjd": [57000.1, 57000.2, 57200.0, 57000.1], "ra": [30.0, 30.0, 30.0, 50.0], "dec": [5.0, 5.0, 5.0, 5.0],
        "w1mpro": [12.0, 12.1, 12.05, 9.0], "w1sigmpro": [0.03] * 4, "w2mpro": [11.9, None, 11.95, 9.0],
        "w2sigmpro": [0.05] * 4, "qual_frame": [10, 5, 10, 10], "qi_fact": [1.0] * 4, "saa_sep": [50.0] * 4,
        "moon_masked": ["00"] * 4, "cc_flags": ["0000"] * 4, "ph_qual": ["AA"] * 4, "nb": [1] * 4, "na": [0] * 4,
    }}  # fmt: skip
    observatory, reducer = preset("neowise", server)
    star = Source(name="X", ra=30.0, dec=5.0)
    found, empty = observatory.fetch([star, Source(name="Y", ra=200.0, dec=5.0)])
    assert found.n_rows == 3 and empty.is_empty and len(server.jobs) == 1
    lightcurves = reducer.reduce(star, found).lightcurves
    assert sorted((lc.band, lc.n_epochs) for lc in lightcurves) == [("W1", 1), ("W1", 2), ("W2", 1), ("W2", 1)]
    w1 = next(lc for lc in lightcurves if lc.band == "W1")
    assert w1.flux[0] == pytest.approx(309.54e6 * 10 ** (-0.4 * 12.0), rel=1e-4)  # Vega's zero point, in uJy


def test_panstarrs(server) -> None:
    server.tables = {"dbo.detection": {
        "objID": [1, 1, 2], "obsTime": [55500.0, 55600.0, 55500.0], "ra": [30.0, 30.0, 31.0], "dec": [5.0, 5.0, 5.0],
        "filterID": [1, 4, 1], "psfFlux": [1e-5, 2e-5, 1.0], "psfFluxErr": [1e-7, 1e-7, 1.0], "infoFlag": [0, 0, 0],
        "expTime": [43.0, 30.0, 43.0],
    }}  # fmt: skip
    observatory, reducer = preset("panstarrs", server)
    star = Source(name="X", ra=30.0, dec=5.0)
    found, south = observatory.fetch([star, Source(name="south", ra=30.0, dec=-40.0)])
    assert south.is_empty and "south" in south.provenance["status"]
    lightcurves = reducer.reduce(star, found).lightcurves
    assert [(lc.band, lc.exptime[0]) for lc in lightcurves] == [("g", 43.0), ("z", 30.0)]
    assert lightcurves[0].mag[0] == pytest.approx(8.9 + 12.5)
