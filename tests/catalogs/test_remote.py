"""Catalogs from archives, against services on loopback: what is asked, what is frozen, what changes."""

import json

import numpy as np
import pytest

from retriever.catalogs.remote import Box, Cone, GaiaCatalog, TAPCatalog, VizierCatalog
from retriever.catalogs.tabular import CatalogColumns, Magnitude
from retriever.catalogs.white_dwarfs import WhiteDwarfFile
from retriever.client.http import Client
from retriever.errors import CatalogError
from retriever.interfaces import describe
from tests.archive import Archive, Reply
from tests.surveys import WHITE_DWARFS_PATH, white_dwarfs_route
from tests.tap_server import TAPServer

QUICK = {"wait": 0.01, "wait_max": 0.05, "per_second": 0.0, "read_timeout": 2.0, "attempts": 3}
STARS = {
    "source_id": [11, 12, 13, 14], "designation": [f"Gaia DR3 {k}" for k in (11, 12, 13, 14)], "ra": [0.5, 10.0, 359.8, 10.1],
    "dec": [0.0, 20.0, 0.0, 20.0], "pmra": [1.0, 2.0, None, 4.0], "pmdec": [1.0, 2.0, 3.0, 4.0], "parallax": [1.0] * 4,
    "ref_epoch": [2016.0] * 4, "phot_g_mean_mag": [10.0, 12.0, 14.0, None],
}  # fmt: skip


@pytest.fixture
def server():
    with Archive().serving() as archive:
        yield TAPServer(archive, {"gaiadr3.gaia_source": STARS, "J/MNRAS/508/3877/maincat": {
            "GaiaEDR3": [1, 2, 3], "RA_ICRS": [10.0, 20.0, 30.0], "DE_ICRS": [0.0, 1.0, 2.0], "Gmag": [15.0, 16.0, 17.0],
            "Pwd": [0.9, 0.1, 0.8],
        }})  # fmt: skip


def gaia(server, folder, **how) -> GaiaCatalog:
    client = Client(**{**QUICK, **how.pop("client", {})})
    return GaiaCatalog(**{"url": server.url, "mirrors": [], "folder": str(folder), "client": client, **how})


def test_gaia_by_cone_box_ids_and_magnitudes(server, tmp_path) -> None:
    def names(**how) -> list[str]:
        return gaia(server, tmp_path, **how).load().name.tolist()

    assert names(cone=Cone(ra=10.0, dec=20.0, radius=0.2)) == ["12", "14"]
    assert names(box=Box(ra_min=359.0, ra_max=1.0)) == ["11", "13"]
    assert names(ids=[13, 14]) == ["13", "14"]
    assert names(mag_min=11.0, mag_max=13.0) == ["12"]
    with pytest.raises(CatalogError, match="whole sky"):
        names()
    with pytest.raises(CatalogError, match="no rows"):
        names(mag_max=1.0)
    table = gaia(server, tmp_path, ids=[13]).load()
    assert table.aliases == (("Gaia DR3 13",),) and table.epoch[0] == 2016.0 and np.isnan(table.pmra[0])
    assert table.mag[0] == 14.0 and table.band[0] == "G" and "Vallenari" in table.reference


def test_a_mirror_stands_in(server, tmp_path) -> None:
    other = TAPServer(server.archive, {"gaiadr3.gaia_source": STARS}, path="/mirror")
    server.archive.fault = lambda request, before: "503" if request.path.startswith("/tap/") else ""
    assert len(gaia(server, tmp_path, ids=[11], mirrors=[other.url]).load()) == 1
    (provenance,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert provenance["address"].endswith("/mirror")


def test_what_was_downloaded_is_frozen_and_used_from_then_on(server, tmp_path) -> None:
    first = gaia(server, tmp_path, ids=[11, 12]).load()
    count = len(server.archive.seen)
    again = gaia(server, tmp_path, ids=[11, 12]).load()
    offline = gaia(server, tmp_path, ids=[11, 12], client={"offline": True}).load()
    assert len(server.archive.seen) == count and first.digest == again.digest == offline.digest
    (table,), (path,) = tmp_path.glob("gaia_*.parquet"), tmp_path.glob("gaia_*.json")
    provenance = json.loads(path.read_text())
    assert table.stem == path.stem and provenance["rows"] == 2
    assert provenance["digest"].startswith(table.stem.split("_")[1])
    assert "SELECT source_id" in provenance["request"]["query"] and provenance["reference"] and provenance["fetched"]
    with pytest.raises(CatalogError, match="not on disk"):
        gaia(server, tmp_path, ids=[13], client={"offline": True}).load()


def test_the_address_counts_where_no_release_does(server, tmp_path) -> None:
    other = TAPServer(server.archive, {"gaiadr3.gaia_source": STARS}, path="/mirror")
    for release, asked in (("DR3", 1), ("", 2)):
        before = len(server.archive.seen)
        for url in (server.url, other.url, server.url):
            assert len(gaia(server, tmp_path / f"x{release}", ids=[11], url=url, release=release).load()) == 1
        assert len(server.archive.seen) - before == asked
    here, there = (gaia(server, tmp_path, ids=[11], url=url) for url in (server.url, other.url))
    assert describe(here) == describe(there)
    here, there = (gaia(server, tmp_path, ids=[11], url=url, release="") for url in (server.url, other.url))
    assert describe(here) != describe(there)


def test_a_file_frozen_before_addresses_counted_is_used_if_it_came_from_there(server, tmp_path) -> None:
    gaia(server, tmp_path, ids=[11]).load()
    (path,) = tmp_path.glob("gaia_*.json")
    provenance = json.loads(path.read_text())
    del provenance["request"]["release"]
    path.write_text(json.dumps(provenance))
    count = len(server.archive.seen)
    gaia(server, tmp_path, ids=[11]).load()
    assert len(server.archive.seen) == count
    other = TAPServer(server.archive, {"gaiadr3.gaia_source": STARS}, path="/mirror")
    gaia(server, tmp_path, ids=[11], url=other.url).load()
    assert len(server.archive.seen) == count + 1


def test_two_questions_with_one_answer_are_each_asked_once(server, tmp_path) -> None:
    for _ in range(2):
        by_id = gaia(server, tmp_path, ids=[12]).load()
        by_magnitude = gaia(server, tmp_path, mag_min=11.0, mag_max=13.0).load()
    assert by_id.digest == by_magnitude.digest and len(server.archive.seen) == 2


def test_refresh_says_what_changed_and_keeps_the_earlier_file(server, tmp_path) -> None:
    before = gaia(server, tmp_path, ids=[11, 12, 13]).load()
    same = gaia(server, tmp_path, ids=[11, 12, 13], client={"refresh": "0d"}).load()
    assert same.digest == before.digest and "is the same" in same.notes[0]
    server.tables["gaiadr3.gaia_source"] = {key: values[1:] for key, values in STARS.items()} | {
        "parallax": [5.0, 1.0, 1.0]
    }
    after = gaia(server, tmp_path, ids=[11, 12, 13], client={"refresh": "0d"}).load()
    assert after.name.tolist() == ["12", "13"]
    assert "0 rows are new, 1 gone, 1 changed" in after.notes[0]
    assert len(list(tmp_path.glob("gaia_*.parquet"))) == 2
    young = gaia(server, tmp_path, ids=[11, 12, 13], client={"refresh": "30d"}).load()
    assert young.digest == after.digest and not young.notes
    server.archive.fault = lambda request, n: "404"
    kept = gaia(server, tmp_path, ids=[11, 12, 13], client={"refresh": "0d"}).load()
    assert kept.digest == after.digest and "could not be fetched again" in kept.notes[0]


def test_a_table_of_vizier_has_no_silent_limit(server, tmp_path) -> None:
    n = 120
    server.tables["I/1/x"] = {"id": list(range(n)), "RA_ICRS": [k * 1.0 for k in range(n)], "DE_ICRS": [0.0] * n}
    common = {"url": server.url, "folder": str(tmp_path), "client": Client(**QUICK), "table": "I/1/x"}
    columns = CatalogColumns(name="id", ra="RA_ICRS", dec="DE_ICRS")
    assert len(VizierCatalog(columns=columns, **common).load()) == n
    server.max_rows = 50
    with pytest.raises(CatalogError, match="OVERFLOW"):
        VizierCatalog(columns=columns, name="other", conditions=['"id" >= 0'], **common).load()
    with pytest.raises(CatalogError, match="no such column"):
        VizierCatalog(columns=columns, conditions=["absent >= 0"], **common).load()


def test_the_white_dwarfs_by_vizier(server, tmp_path) -> None:
    catalog = VizierCatalog(
        url=server.url, folder=str(tmp_path), client=Client(**QUICK), table="J/MNRAS/508/3877/maincat",
        conditions=["Pwd >= 0.75"], columns=CatalogColumns(name="GaiaEDR3", ra="RA_ICRS", dec="DE_ICRS"),
        magnitudes={"G": Magnitude(mag="Gmag", band="G")},
    )  # fmt: skip
    assert catalog.load().name.tolist() == ["1", "3"]


def test_any_query(server, tmp_path) -> None:
    catalog = TAPCatalog(
        query="SELECT source_id AS name, ra, dec FROM gaiadr3.gaia_source WHERE dec > 10", url=server.url,
        folder=str(tmp_path), client=Client(**QUICK), where="ra < 10.05",
    )  # fmt: skip
    assert catalog.load().name.tolist() == ["12"]
    with pytest.raises(CatalogError, match=r"catalog.query"):
        TAPCatalog(folder=str(tmp_path)).load()


# ---- the authors' file -----------------------------------------------------------------------------------------------


def white_dwarfs(archive: Archive, folder, **how) -> WhiteDwarfFile:
    client = Client(**{**QUICK, **how.pop("client", {})})
    return WhiteDwarfFile(url=archive.url + WHITE_DWARFS_PATH, folder=str(folder), client=client, **how)


def test_cuts_are_made_on_the_file_that_is_downloaded_once(tmp_path) -> None:
    with Archive(routes={WHITE_DWARFS_PATH: white_dwarfs_route(500)}).serving() as archive:
        everything = white_dwarfs(archive, tmp_path, min_pwd=0.0).load()
        sure = white_dwarfs(archive, tmp_path).load()
        bright = white_dwarfs(
            archive, tmp_path, max_mag=17.0, box=Box(dec_min=0.0), where="parallax > 10", limit=20
        ).load()
        centre = float(everything.ra[7]), float(everything.dec[7])
        near = white_dwarfs(archive, tmp_path, min_pwd=0.0, cone=Cone(ra=centre[0], dec=centre[1], radius=10.0)).load()
        some = [white_dwarfs(archive, tmp_path, sample=30, seed=seed).load().name.tolist() for seed in (1, 1, 2)]
        assert len(archive.seen) == 1
    assert len(everything) == 500 and 80 < len(sure) < 170
    assert len(bright) <= 20 and (bright.mag <= 17).all() and (bright.dec >= 0).all() and (bright.parallax > 10).all()
    from retriever.astrometry import separation_arcsec

    expected = separation_arcsec(everything.ra, everything.dec, *centre) <= 36000
    assert near.name.tolist() == everything.name[expected].tolist()
    assert some[0] == some[1] != some[2] and len(some[0]) == 30
    assert everything.aliases[0][0].startswith("Gaia EDR3 ") and everything.epoch[0] == 2016.0


@pytest.mark.parametrize("body", [b"no gzip at all", b"<html><title>x</title></html>"])
def test_a_broken_download_leaves_nothing(tmp_path, body) -> None:
    with (
        Archive(routes={WHITE_DWARFS_PATH: lambda request: Reply(body)}).serving() as archive,
        pytest.raises(CatalogError),
    ):
        white_dwarfs(archive, tmp_path).load()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_half_a_download_is_fetched_again(tmp_path) -> None:
    with Archive(routes={WHITE_DWARFS_PATH: white_dwarfs_route(300)}).serving() as archive:
        archive.fault = lambda request, before: "half" if before == 0 else ""
        assert len(white_dwarfs(archive, tmp_path, min_pwd=0.0).load()) == 300
    assert {path.suffix for path in tmp_path.iterdir()} == {".parquet", ".json"}
