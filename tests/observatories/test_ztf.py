"""ZTF's observatory against a server on loopback that speaks IRSA's protocol and misbehaves on demand."""

import os
import threading
import time

import numpy as np
import pytest

from retriever.client.http import Client
from retriever.errors import ConfigError, FetchError
from retriever.observatories.ztf import ZTFObservatory
from retriever.rawtable import RawPhotometry
from retriever.reducers.ztf import ZTFReducer
from retriever.source import Source
from tests.archive import Archive, Reply, by_chance
from tests.surveys import ZTF_COLUMNS, ZTF_PATH, ztf_answer, ztf_archive

QUICK = {"wait": 0.01, "wait_max": 0.05, "read_timeout": 1.0, "per_second": 0.0}
SOURCE = Source(name="X", ra=30.0, dec=20.0, mag=17.0)


def observatory(archive: Archive, **how) -> ZTFObservatory:
    client = Client(**{**QUICK, **how.pop("client", {})})
    return ZTFObservatory(url=archive.url + ZTF_PATH, client=client, **how)


def test_an_answer_is_kept_whole_and_says_where_it_came_from() -> None:
    with ztf_archive().serving() as archive:
        (answer,) = observatory(archive).fetch([SOURCE])
    assert isinstance(answer, RawPhotometry)
    assert list(answer.tables[0].columns) == ZTF_COLUMNS
    assert answer.n_rows == 120 and answer.tables[0].columns["ccdid"][0] == "0x3"
    assert answer.tables[0].columns["oid"].dtype == np.int64
    told = answer.provenance
    assert told["address"].endswith(ZTF_PATH) and told["release"] == "ztf_dr24" and told["status"] == "200"
    assert "CIRCLE 30.000000 20.000000 0.0005556" in told["request"] and told["fetched"].endswith("+00:00")
    reduction = ZTFReducer().reduce(SOURCE, answer)
    assert [lc.band for lc in reduction.lightcurves] == ["g", "r"]
    user_agent = archive.seen[0].headers["user-agent"]
    assert user_agent.startswith("retriever/")


def test_what_the_survey_cannot_see_is_not_asked_for() -> None:
    sources = [
        Source(name="south", ra=1.0, dec=-30.1), Source(name="faint", ra=1.0, dec=0.0, mag=22.5), SOURCE,
        Source(name="unknown magnitude", ra=2.0, dec=0.0),
    ]  # fmt: skip
    with ztf_archive().serving() as archive:
        south, faint, good, unknown = observatory(archive).fetch(sources)
    assert south.is_empty and "south of min_dec" in south.provenance["status"]
    assert faint.is_empty and "fainter than max_mag" in faint.provenance["status"]
    assert good.n_rows and unknown.n_rows
    assert len(archive.seen) == 2


def test_a_moving_star_is_looked_for_where_it_is_and_in_a_wider_circle() -> None:
    barnard = Source(name="B", ra=269.452, dec=4.69, pmra=-801.6, pmdec=10362.4, epoch=2016.0)
    asked = ZTFObservatory().request(barnard)
    assert asked["dec"] == pytest.approx(4.69 + 6 * 10.3624 / 3600, abs=1e-5)  # six years to the north
    assert asked["radius"] == pytest.approx(2.0 + 4.5 * np.hypot(0.8016, 10.3624), rel=1e-4)


def test_object_ids_among_the_names_are_asked_for_by_id() -> None:
    star = Source(name="X", ra=30.0, dec=20.0, aliases=("ZTF oid 604103100006917", "other", "ZTF oid 604203100006918"))
    asked = ZTFObservatory().request(star)
    assert asked["oids"] == ["604103100006917", "604203100006918"] and "ra" not in asked
    body = ztf_answer(30.0, 20.0)
    with Archive(routes={ZTF_PATH: lambda request: Reply(body)}).serving() as archive:
        (answer,) = observatory(archive).fetch([star])
    assert answer.n_rows == 120 and archive.seen[0].params["ID"] == "604103100006917,604203100006918"


def test_header_alone_is_no_data(real_data) -> None:
    empty = (real_data / "ztf" / "irsa_6555925496084361344.csv").read_bytes()
    with Archive(routes={ZTF_PATH: lambda request: Reply(empty)}).serving() as archive:
        (answer,) = observatory(archive).fetch([SOURCE])
    assert answer.is_empty and answer.provenance["status"] == "200"


def test_real_tables_come_through_unchanged(real_data) -> None:
    with ztf_archive(real_data).serving() as archive:
        source = Source(name="103999471976858496", ra=46.31, dec=17.0)  # place replaced below
        import csv

        with (real_data / "catalogs" / "ztf_white_dwarfs.csv").open() as file:
            row = next(row for row in csv.DictReader(file) if row["source_id"] == source.name)
        source = Source(name=source.name, ra=float(row["ra"]), dec=float(row["dec"]), epoch=2016.0)
        (answer,) = observatory(archive).fetch([source])
    with (real_data / "ztf" / f"irsa_{source.name}.csv").open() as file:
        assert answer.n_rows == sum(1 for _ in file) - 1


@pytest.mark.parametrize("fault", ["429", "503", "reset", "stall", "half", "longer", "cut", "html", "error200"])
def test_what_may_pass_is_asked_again(fault: str) -> None:
    archive = ztf_archive()
    archive.fault = lambda request, before: fault if before < 2 else ""
    with archive.serving():
        (answer,) = observatory(archive, client={"read_timeout": 0.3}).fetch([SOURCE])
    assert isinstance(answer, RawPhotometry), answer
    assert answer.n_rows == 120 and len(archive.seen) == 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("503", "503"),
        ("html", "Scheduled maintenance"),
        ("half", "broke off"),
        ("error200", "no table"),
        ("cut", "cut"),
    ],
)
def test_what_does_not_pass_fails_with_a_sentence(fault: str, words: str) -> None:
    archive = ztf_archive()
    archive.fault = lambda request, before: fault
    with archive.serving():
        (answer,) = observatory(archive, client={"attempts": 3}).fetch([SOURCE])
    assert isinstance(answer, FetchError) and words in str(answer)
    assert "\n" not in str(answer) and len(archive.seen) == 3


def test_what_cannot_pass_is_asked_once() -> None:
    archive = ztf_archive()
    archive.fault = lambda request, before: "404"
    with archive.serving():
        (answer,) = observatory(archive).fetch([SOURCE])
    assert isinstance(answer, FetchError) and "404" in str(answer) and len(archive.seen) == 1


def test_retry_after_is_obeyed() -> None:
    archive = Archive()
    moments = []

    def route(request):
        moments.append(time.monotonic())
        if len(moments) == 1:
            return Reply(b"slower", 429, {"Retry-After": "1"})
        return Reply(ztf_answer(30.0, 20.0))

    archive.routes[ZTF_PATH] = route
    with archive.serving():
        (answer,) = observatory(archive).fetch([SOURCE])
    assert answer.n_rows and moments[1] - moments[0] >= 1.0


def test_unknown_columns_and_another_order_are_taken() -> None:
    columns = [*reversed(ZTF_COLUMNS), "brand_new"]
    with ztf_archive(columns=columns).serving() as archive:
        (answer,) = observatory(archive).fetch([SOURCE])
    assert list(answer.tables[0].columns) == columns
    with ztf_archive().serving() as archive:
        (usual,) = observatory(archive).fetch([SOURCE])
    one, other = (ZTFReducer().reduce(SOURCE, raw).lightcurves for raw in (answer, usual))
    assert [lc.mag.tolist() for lc in one] == [lc.mag.tolist() for lc in other]


def test_rows_that_came_twice_count_once() -> None:
    body = ztf_answer(30.0, 20.0)
    header, *rows = body.splitlines(keepends=True)
    with Archive(routes={ZTF_PATH: lambda request: Reply(header + b"".join(rows + rows[:30]))}).serving() as archive:
        (answer,) = observatory(archive).fetch([SOURCE])
    assert answer.n_rows == 150
    assert sum(lc.n_epochs for lc in ZTFReducer().reduce(SOURCE, answer).lightcurves) == 120


def test_no_more_calls_at_once_than_connections_over_all_processes() -> None:
    archive = ztf_archive()
    archive.latency = 0.05
    sources = [Source(name=f"S{k}", ra=10.0 + k, dec=5.0, mag=17.0) for k in range(12)]
    with archive.serving():
        # two observatories as two workers have them: the limit is of the host, not of the object
        both = [observatory(archive, client={"connections": 3}) for _ in range(2)]
        threads = [threading.Thread(target=lambda one=one: list(one.fetch(sources))) for one in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(archive.seen) == 24 and archive.most_at_once == 3


def test_no_more_calls_a_second_than_wished() -> None:
    sources = [Source(name=f"S{k}", ra=10.0 + k, dec=5.0, mag=17.0) for k in range(8)]
    with ztf_archive().serving() as archive:
        started = time.monotonic()
        assert len(list(observatory(archive, client={"per_second": 10.0}).fetch(sources))) == 8
    assert time.monotonic() - started >= 0.7


def test_answers_keep_the_order_of_the_sources() -> None:
    archive = ztf_archive()
    archive.fault = by_chance(0.2, ("503", "reset", "half"), seed=1)
    sources = [Source(name=f"S{k}", ra=float(k), dec=5.0, mag=17.0) for k in range(40)]
    with archive.serving():
        answers = list(observatory(archive).fetch(sources))
    places = [np.median(np.asarray(answer.tables[0].columns["ra"])) for answer in answers]
    assert np.allclose(places, [source.ra for source in sources], atol=1e-3)


def test_answers_are_not_asked_for_again_until_they_are_released(tmp_path) -> None:
    with ztf_archive().serving() as archive:
        one = observatory(archive, client={"cache": str(tmp_path / "cache")})
        (first,) = one.fetch([SOURCE])
        (second,) = one.fetch([SOURCE])
        assert len(archive.seen) == 1 and first.digest() == second.digest()
        assert first.provenance == second.provenance
        one.client.release(one.survey, [SOURCE])
        assert list(one.fetch([SOURCE])) and len(archive.seen) == 2
        one.client.release(one.survey, [SOURCE])
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_offline_opens_no_socket(monkeypatch) -> None:
    import socket

    def refuse(*words, **more):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    (answer,) = ZTFObservatory(client=Client(offline=True)).fetch([SOURCE])
    assert isinstance(answer, FetchError) and "run.offline" in str(answer)


def test_a_login_comes_from_the_environment_netrc_or_keyring_in_that_order(tmp_path, monkeypatch) -> None:
    archive = ztf_archive()
    secret = "-".join(("not", "to", "be", "seen"))
    with archive.serving():
        one = observatory(archive, login=True)
        path = tmp_path / "netrc"
        path.write_text(f"machine irsa.ipac.caltech.edu login netrc_user password {secret}\n")
        path.chmod(0o600)
        monkeypatch.setenv("NETRC", str(path))
        list(one.fetch([SOURCE]))
        monkeypatch.setenv("RETRIEVER_IRSA_USER", "env_user")
        monkeypatch.setenv("RETRIEVER_IRSA_PASSWORD", secret)
        list(one.fetch([SOURCE]))
    import base64

    users = [base64.b64decode(request.headers["authorization"].split()[1]).decode() for request in archive.seen]
    assert users == [f"netrc_user:{secret}", f"env_user:{secret}"]


def test_a_broken_netrc_is_told_without_what_it_holds(tmp_path, monkeypatch) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine x login me passwort hidden-word\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    one = ZTFObservatory(login=True, client=Client(**QUICK))
    with pytest.raises(ConfigError) as caught:
        list(one.fetch([SOURCE]))
    assert "hidden-word" not in str(caught.value) and "netrc" in str(caught.value)


def test_a_band_that_the_survey_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="g, r and i"):
        ZTFObservatory(bands=["z"])
    assert os.environ  # the module is imported without asking anybody
