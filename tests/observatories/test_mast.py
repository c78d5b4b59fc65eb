"""TESS and Kepler from MAST, against a service on loopback with real files where there are any."""

import json

import numpy as np
import pytest
from astropy.io import fits

from retriever.client.http import Client
from retriever.errors import ConfigError, FetchError
from retriever.observatories.mast import KeplerObservatory, TESSObservatory
from retriever.reducers.tess import TESSReducer
from retriever.source import Source
from tests.archive import Archive, Reply, by_chance
from tests.mast_server import MASTServer

CLIENT = {"wait": 0.01, "wait_max": 0.05, "per_second": 0.0, "read_timeout": 2.0}
STAR = Source(name="WD one", ra=120.0, dec=-20.0, mag=12.0, band="G")


@pytest.fixture
def server():
    with Archive().serving() as archive:
        server = MASTServer(archive)
        server.add_star(441, 120.0003, -20.0, gaia=12.1, sectors=(1, 2, 3))
        server.add_star(442, 120.0001, -20.0, gaia=16.0)  # nearer, but another magnitude
        server.add_star(443, 200.0, 10.0, gaia=None)
        yield server


def tess(server: MASTServer, **how) -> TESSObservatory:
    return TESSObservatory(url=server.archive.url, client=Client(**{**CLIENT, **how.pop("client", {})}), **how)


def test_the_star_is_the_nearest_whose_magnitude_agrees_and_its_number_becomes_an_alias(server) -> None:
    (answer,) = tess(server).fetch([STAR])
    assert answer.aliases == ("TIC 441",)
    lightcurves = [table for table in answer.tables if "TIME" in table.columns]
    assert [table.card("SECTOR") for table in lightcurves] == ["1", "2", "3"]
    assert [table.card("OBJECT") for table in lightcurves] == ["TIC 441"] * 3
    apertures = [table for table in answer.tables if table.origin.endswith("[APERTURE]")]
    assert len(apertures) == 3 and apertures[0].columns["aperture"].shape == (11, 11)
    reduced = TESSReducer().reduce(STAR, answer).lightcurves
    assert [lc.series for lc in reduced] == ["sector 1, 120 s", "sector 2, 120 s", "sector 3, 120 s"]
    told = answer.provenance
    assert told["release"] == "SPOC-120" and told["request"].count("mast:") == 3 and told["fetched"]


def test_any_magnitude_takes_the_nearest_and_too_far_is_no_star(server) -> None:
    (answer,) = tess(server, max_mag_difference=0.0).fetch([STAR])
    assert answer.aliases == ("TIC 442",)
    (answer,) = tess(server).fetch([Source(name="away", ra=121.0, dec=-20.0)])
    assert answer.is_empty and "no such star" in answer.provenance["status"]


def test_a_number_in_a_name_or_alias_is_taken_at_its_word(server) -> None:
    by_name, by_alias = tess(server).fetch([
        Source(name="TIC 443", ra=0.0, dec=0.0), Source(name="x", ra=0.0, dec=0.0, aliases=("TIC 0000443",)),
    ])  # fmt: skip
    assert by_name.digest() == by_alias.digest() and by_name.aliases == ("TIC 443",)
    services = [
        json.loads(request.params["request"])["service"] for request in server.archive.seen if request.method == "POST"
    ]
    assert "Mast.Catalogs.Tic.Cone" not in services
    place = tess(server).find_place("443")
    assert (place.name, place.ra, place.dec) == ("TIC 443", 200.0, 10.0)
    with pytest.raises(FetchError, match="no star 7"):
        tess(server).find_place("7")


def test_of_each_sector_the_best_file_in_the_stated_order(server, real_data) -> None:
    server.add_folder(real_data / "tess")
    star = Source(name="TIC 188589164", ra=0.0, dec=0.0)

    def kinds(**how) -> list[str]:
        (answer,) = tess(server, **how).fetch([star])
        return [table.origin for table in answer.tables if "TIME" in table.columns]

    assert kinds() == ["tess2020106103520-s0024-0000000188589164-0180-s_lc.fits"]
    assert kinds(pipelines=["QLP", "SPOC-120"]) == ["hlsp_qlp_tess_ffi_s0024-0000000188589164_tess_v01_llc.fits"]
    assert len(kinds(all_pipelines=True)) == 3
    assert kinds(sectors=[1]) == []


def test_a_real_file_comes_through_whole(server, real_data) -> None:
    server.add_folder(real_data / "tess")
    (answer,) = tess(server).fetch([Source(name="TIC 441420236", ra=0.0, dec=0.0)])
    path = real_data / "tess" / "tess2018206045859-s0001-0000000441420236-0120-s_lc.fits"
    table, aperture = answer.tables
    with fits.open(path) as hdus:
        assert set(table.columns) == set(hdus[1].columns.names) and table.n_rows == len(hdus[1].data)
        assert np.array_equal(table.columns["PDCSAP_FLUX"], hdus[1].data["PDCSAP_FLUX"], equal_nan=True)
        assert np.array_equal(aperture.columns["aperture"], hdus["APERTURE"].data)
        assert len(table.headers) == len(hdus)
    assert TESSReducer().reduce(STAR, answer).lightcurves[0].n_epochs > 15000


def test_pages_are_all_read(server) -> None:
    server.page_size = 2
    (answer,) = tess(server).fetch([STAR])
    assert len(answer.tables) == 6


@pytest.mark.parametrize("fault", ["503", "half", "longer", "cut", "html", "reset", "429"])
def test_what_may_pass_is_asked_again(server, fault) -> None:
    server.archive.fault = lambda request, before: fault if before < 1 else ""
    (answer,) = tess(server, client={"read_timeout": 0.5}).fetch([STAR])
    assert len(answer.tables) == 6


def test_a_broken_file_fails_the_source(server) -> None:
    def broken(request):
        whole = server.download(request).body
        return Reply(b"SIMPLE  =" + b"?" * (len(whole) - 9))

    server.archive.routes["/api/v0.1/Download/file"] = broken
    (answer,) = tess(server, client={"attempts": 2}).fetch([STAR])
    assert isinstance(answer, FetchError) and "broken file" in str(answer) and "\n" not in str(answer)


def test_a_file_of_another_size_than_announced_is_refused(server) -> None:
    server.archive.routes["/api/v0.1/Download/file"] = lambda request: Reply(server.download(request).body[:-2880])
    (answer,) = tess(server, client={"attempts": 2}).fetch([STAR])
    assert isinstance(answer, FetchError) and "not those it announced" in str(answer)


def test_what_came_of_a_source_is_not_asked_again_though_a_later_file_failed(server, tmp_path) -> None:
    server.archive.fault = lambda request, before: (
        "404" if "s0003" in request.params.get("uri", "") and before < 1 else ""
    )
    one = tess(server, client={"cache": str(tmp_path)})
    (answer,) = one.fetch([STAR])
    assert isinstance(answer, FetchError) and "404" in str(answer)
    count = len(server.archive.seen)
    (answer,) = one.fetch([STAR])
    assert len(answer.tables) == 6 and len(server.archive.seen) == count + 1
    one.client.release(one.survey, [STAR])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_run_of_bad_luck(server) -> None:
    server.archive.fault = by_chance(0.15, ("503", "reset", "half"), seed=3)
    answers = list(tess(server, client={"attempts": 8}).fetch([STAR, Source(name="TIC 443", ra=0.0, dec=0.0)]))
    assert [len(answer.tables) for answer in answers] == [6, 2]


# ---- Kepler and K2 ---------------------------------------------------------------------------------------------------


def kepler(server: MASTServer, **how) -> KeplerObservatory:
    return KeplerObservatory(url=server.archive.url, client=Client(**CLIENT), **how)


def test_kepler_and_k2_by_number_and_by_place(server, real_data) -> None:
    server.add_folder(real_data / "kepler")
    by_number, k2 = kepler(server).fetch(
        [Source(name="KIC 10002792", ra=0, dec=0), Source(name="EPIC 211117077", ra=0, dec=0)]
    )
    assert by_number.aliases == ("KIC 10002792",) and k2.aliases == ("EPIC 211117077",)
    header = fits.getheader(real_data / "kepler" / "kplr010002792-2009259160929_llc.fits")
    place = Source(name="somewhere", ra=header["RA_OBJ"], dec=header["DEC_OBJ"])
    (by_place,) = kepler(server).fetch([place])
    assert by_place.digest() == by_number.digest() and by_place.aliases == ("KIC 10002792",)
    assert [lc.band for lc in TESSReducer(flag_mask=1130799).reduce(place, by_place).lightcurves] == ["Kepler"]
    (nothing,) = kepler(server).fetch([Source(name="nowhere", ra=1.0, dec=1.0)])
    assert nothing.is_empty and "no target" in nothing.provenance["status"]


def test_cadences_are_a_choice(server, real_data) -> None:
    server.add_folder(real_data / "kepler")
    hat_p_7 = Source(name="KIC 10666592", ra=0, dec=0)
    (none_long,) = kepler(server).fetch([hat_p_7])
    assert none_long.is_empty and none_long.aliases == ("KIC 10666592",)
    (short,) = kepler(server, cadence="short").fetch([hat_p_7])
    assert short.tables[0].origin == "kplr010666592-2009131110544_slc.fits"


def test_wrong_choices_are_refused() -> None:
    with pytest.raises(ConfigError, match="SPOC-120"):
        TESSObservatory(pipelines=["SPOC"])
    with pytest.raises(ConfigError, match="long, short or both"):
        KeplerObservatory(cadence="fast")
    with pytest.raises(ConfigError, match="Kepler, K2"):
        KeplerObservatory(missions=["TESS"])
