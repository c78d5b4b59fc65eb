"""The client: what is kept, what is said, what is asked at all."""

import os
import subprocess
import sys
import time

import pytest

from retriever.client.http import Client
from retriever.client.limits import HostLimit
from retriever.client.response_cache import Answer, ResponseCache
from retriever.errors import ConfigError, FetchError
from tests.archive import Archive, Reply


def test_importing_asks_nothing() -> None:
    code = """
import importlib, pkgutil, socket
def refuse(*words, **more): raise SystemExit("a socket was opened")
socket.socket.connect = refuse
import retriever
for module in pkgutil.walk_packages(retriever.__path__, "retriever."):
    importlib.import_module(module.name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrong_numbers_are_refused() -> None:
    for how in ({"connections": 0}, {"attempts": 0}, {"per_second": -1.0}, {"refresh": "soon"}):
        with pytest.raises(ConfigError):
            Client(**how)


def test_nothing_of_an_address_that_may_be_secret_is_said() -> None:
    secret = "-".join(("hidden", "word"))
    client = Client(attempts=1, connect_timeout=0.2)
    for url in (
        f"http://me:{secret}@127.0.0.1:1/x?token={secret}",
        f"http://127.0.0.1:1/?key={secret}",
        f"nonsense://{secret}@x/",
    ):
        with pytest.raises((FetchError, ConfigError)) as caught:
            client.get(url)
        assert secret not in str(caught.value) and secret not in repr(caught.value.__cause__)


def test_a_download_is_whole_or_not_there(tmp_path) -> None:
    body = os.urandom(300_000)
    with Archive(routes={"/file": lambda request: Reply(body)}).serving() as archive:
        archive.fault = lambda request, before: "half" if before < 2 else ""
        Client(wait=0.01, wait_max=0.02).download(f"{archive.url}/file", tmp_path / "file", what="file")
        assert (tmp_path / "file").read_bytes() == body
        archive.fault = lambda request, before: "half"
        with pytest.raises(FetchError):
            Client(wait=0.01, wait_max=0.02, attempts=2).download(
                f"{archive.url}/file", tmp_path / "other", what="file"
            )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_checksum_that_does_not_agree_is_refused() -> None:
    with Archive(
        routes={"/x": lambda request: Reply(b"body", headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})}
    ).serving() as archive:
        with pytest.raises(FetchError, match="not those it announced"):
            Client(wait=0.01, wait_max=0.02, attempts=2).get(f"{archive.url}/x")
        assert len(archive.seen) == 2


def test_old_answers_do_not_count_and_are_swept(tmp_path) -> None:
    cache = ResponseCache(folder=tmp_path, max_age_seconds=100.0)
    answer = Answer(address="a", body=b"x\ny", status=200, fetched="2026-01-01T00:00:00+00:00")
    cache.put("star", b"question", answer)
    assert cache.get("star", b"question") == answer and cache.get("star", b"other") is None
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    os.utime(path, (time.time() - 200, time.time() - 200))
    assert cache.get("star", b"question") is None
    cache.put("star", b"question", answer)
    cache.sweep()
    assert cache.get("star", b"question")
    os.utime(path.parent, (time.time() - 8 * 86400, time.time() - 8 * 86400))
    cache.sweep()
    assert not list(tmp_path.iterdir())


def test_a_damaged_answer_on_disk_is_asked_for_again(tmp_path) -> None:
    with Archive(routes={"/x": lambda request: Reply(b"body")}).serving() as archive:
        client = Client(cache=str(tmp_path))
        client.get(f"{archive.url}/x", about="star")
        (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
        path.write_bytes(b"\x00\x01")
        assert client.get(f"{archive.url}/x", about="star").body == b"body" and len(archive.seen) == 2


def test_slots_are_of_the_host_over_processes() -> None:
    code = """
import sys, time
from retriever.client.limits import HostLimit
from retriever.client.response_cache import Answer, ResponseCache
with HostLimit(host=sys.argv[1], connections=1, per_second=0.0).slot():
    print("have it", flush=True)
    time.sleep(30)
"""
    host = f"test-{os.getpid()}-{time.monotonic_ns()}"
    limit = HostLimit(host=host, connections=1, per_second=0.0)
    other = subprocess.Popen([sys.executable, "-c", code, host], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "have it\n"
        started = time.monotonic()
        other.kill()  # a killed holder lets go
        with limit.slot():
            assert time.monotonic() - started < 5.0
    finally:
        other.kill()
        other.communicate()


def test_a_pause_holds_for_everybody() -> None:
    host = f"test-{os.getpid()}-{time.monotonic_ns()}"
    HostLimit(host=host, connections=4, per_second=0.0).pause(0.5)
    started = time.monotonic()
    with HostLimit(host=host, connections=4, per_second=0.0).slot():
        assert time.monotonic() - started >= 0.45
