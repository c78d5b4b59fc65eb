"""Forced photometry by ATLAS, against a queue on loopback."""

import itertools
import json
import threading

import pytest

from retriever.client.http import Client
from retriever.errors import ConfigError, FetchError
from retriever.observatories.atlas import ATLASObservatory
from retriever.source import Source
from tests.archive import Archive, Reply, Request, by_chance

HEADER = "###MJD          m      dm   uJy   duJy F err chi/N     RA       Dec        x        y     maj  min   phi  apfit mag5sig Sky   Obs\n"
ROW = "{mjd:.6f}  17.1  0.05  {flux}   10 {band} {err} 1.00  29.86137  30.72672  9408.51  3841.80 2.04 2.02  26.5 -0.421 19.59 20.43 01a59101o0618o\n"
TOKEN = "-".join(("a", "token"))


class Queue:
    """The service: tasks are done after two looks."""

    def __init__(self, archive: Archive) -> None:
        self.archive, self.tasks, self.numbers = archive, {}, itertools.count(1)
        self.throttle, self.lock, self.deleted, self.none_for = 0, threading.Lock(), [], ""
        archive.routes |= {
            "/forcedphot/queue/": self.queue, "/forcedphot/api-token-auth/": self.token, "/forcedphot/static/": self.result,
        }  # fmt: skip

    @property
    def url(self) -> str:
        return f"{self.archive.url}/forcedphot"

    def token(self, request: Request) -> Reply:
        good = request.params == {"username": "me", "password": "pass-word"}
        return Reply(json.dumps({"token": TOKEN}).encode()) if good else Reply(b'{"detail": "wrong"}', 400)

    def queue(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Token {TOKEN}":
            return Reply(b'{"detail": "Invalid token."}', 401)
        with self.lock:
            if request.method == "POST":
                if self.throttle:
                    self.throttle -= 1
                    return Reply(b'{"detail": "Request was throttled. Expected available in 1 second."}', 429)
                number = next(self.numbers)
                self.tasks[number] = {"asked": request.params, "looks": 0}
                return Reply(json.dumps({"url": f"{self.url}/queue/{number}/"}).encode(), 201)
            number = int(request.path.rstrip("/").rpartition("/")[2])
            if number not in self.tasks:
                return Reply(b'{"detail": "Not found."}', 404)
            if request.method == "DELETE":
                self.deleted.append(number)
                del self.tasks[number]
                return Reply(b"", 204)
            task = self.tasks[number]
            task["looks"] += 1
            told = {
                "url": f"{self.url}/queue/{number}/",
                "finishtimestamp": None,
                "result_url": None,
                "error_msg": None,
            }
            if task["asked"]["ra"] == self.none_for:
                told["error_msg"] = "No data returned"
            elif task["looks"] > 2:
                told |= {
                    "finishtimestamp": "2026-01-01T00:00:00Z",
                    "result_url": f"{self.url}/static/job{number}.txt?ra={task['asked']['ra']}",
                }
            return Reply(json.dumps(told).encode())

    def result(self, request: Request) -> Reply:
        ra = float(request.params["ra"])
        rows = [
            ROW.format(mjd=59000.0 + k, flux=int(100 * ra) + k, band="co"[k % 2], err=int(k == 3)) for k in range(6)
        ]
        return Reply((HEADER + "".join(rows)).encode())


@pytest.fixture
def queue(monkeypatch):
    monkeypatch.setenv("RETRIEVER_ATLAS_TOKEN", TOKEN)
    with Archive().serving() as archive:
        yield Queue(archive)


def observatory(queue: Queue, **how) -> ATLASObservatory:
    client = Client(**{"wait": 0.01, "wait_max": 0.05, "per_second": 0.0, "read_timeout": 1.0, **how.pop("client", {})})
    return ATLASObservatory(url=queue.url, client=client, **{"poll_seconds": 0.01, "wait_seconds": 20.0, **how})


SOURCES = [Source(name=f"S{k}", ra=1.0 + k, dec=10.0, mag=15.0) for k in range(12)]


def test_a_batch_is_submitted_waited_for_fetched_and_deleted(queue) -> None:
    answers = list(observatory(queue).fetch(SOURCES))
    assert [answer.n_rows for answer in answers] == [6] * 12
    assert [int(answer.tables[0].columns["uJy"][0]) for answer in answers] == [100 * (k + 1) for k in range(12)]
    assert len(queue.deleted) == 12 and not queue.tasks
    assert answers[0].provenance["fetched"] and TOKEN not in str(answers[0].provenance)


def test_light_curves_by_the_shipped_reducer(queue) -> None:
    from hydra import compose, initialize_config_dir

    from retriever.config import CONFIG_FOLDER, build_setup

    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        reducer = build_setup(compose("config", ["observatory=atlas"])).reducers["atlas"]
    (answer,) = observatory(queue).fetch(SOURCES[:1])
    by_band = {lc.band: lc for lc in reducer.reduce(SOURCES[0], answer).lightcurves}
    assert set(by_band) == {"c", "o"} and by_band["c"].flux.tolist() == [100.0, 102.0, 104.0]
    assert by_band["o"].qflag.tolist() == [False, True, False] and by_band["c"].mag[0] == pytest.approx(18.9)


def test_the_real_form_is_read(real_data) -> None:
    body = (real_data / "other" / "job01088.txt").read_bytes()
    with Archive().serving() as archive:
        queue = Queue(archive)
        archive.routes["/forcedphot/static/"] = lambda request: Reply(body)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RETRIEVER_ATLAS_TOKEN", TOKEN)
            (answer,) = observatory(queue).fetch(SOURCES[:1])
    assert answer.n_rows == len(body.splitlines()) - 1
    assert answer.tables[0].columns["Obs"][0].startswith("01a")


def test_a_throttled_service_is_obeyed(queue) -> None:
    queue.throttle = 1
    (answer,) = observatory(queue).fetch(SOURCES[:1])
    assert answer.n_rows == 6


def test_nothing_and_errors(queue) -> None:
    queue.none_for = "2.0"
    one, none = observatory(queue).fetch(SOURCES[:2])
    assert one.n_rows == 6 and none.is_empty and len(queue.deleted) == 2
    faint, south = observatory(queue, min_dec=-50.0).fetch(
        [Source(name="f", ra=1, dec=0, mag=21.0), Source(name="s", ra=1, dec=-60.0)]
    )
    assert "fainter" in faint.provenance["status"] and "south" in south.provenance["status"]


def test_what_may_pass_is_asked_again(queue) -> None:
    queue.archive.fault = by_chance(0.15, ("503", "reset", "half"), seed=2)
    answers = list(observatory(queue, client={"attempts": 10}).fetch(SOURCES))
    assert [answer.n_rows for answer in answers] == [6] * 12


def test_a_task_is_not_submitted_twice_though_the_run_was_killed(queue, tmp_path) -> None:
    impatient = observatory(queue, wait_seconds=0.0, client={"cache": str(tmp_path)})
    assert all(
        isinstance(answer, FetchError) and "continues to wait" in str(answer) for answer in impatient.fetch(SOURCES)
    )
    assert len(queue.tasks) == 12
    patient = observatory(queue, client={"cache": str(tmp_path)})
    assert [answer.n_rows for answer in patient.fetch(SOURCES)] == [6] * 12
    assert next(queue.numbers) == 13  # as many tasks as sources were ever made
    patient.client.release(patient.survey, SOURCES)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_cached_task_that_the_service_deleted_is_submitted_again(queue, tmp_path) -> None:
    list(observatory(queue, wait_seconds=0.0, client={"cache": str(tmp_path)}).fetch(SOURCES[:2]))
    queue.tasks.clear()
    assert [answer.n_rows for answer in observatory(queue, client={"cache": str(tmp_path)}).fetch(SOURCES[:2])] == [
        6,
        6,
    ]


def test_who_one_is(queue, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("RETRIEVER_ATLAS_TOKEN")
    monkeypatch.setenv("NETRC", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="RETRIEVER_ATLAS_TOKEN"):
        list(observatory(queue).fetch(SOURCES[:1]))
    monkeypatch.setenv("RETRIEVER_ATLAS_USER", "me")
    monkeypatch.setenv("RETRIEVER_ATLAS_PASSWORD", "pass-word")
    (answer,) = observatory(queue).fetch(SOURCES[:1])
    assert answer.n_rows == 6
    monkeypatch.setenv("RETRIEVER_ATLAS_TOKEN", "wrong")
    (answer,) = observatory(queue).fetch(SOURCES[:1])
    assert isinstance(answer, FetchError) and "401" in str(answer) and "wrong" not in str(answer).replace("Invalid", "")
