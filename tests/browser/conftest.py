"""A version with hostile names, and the browser that serves it on loopback."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest
import uvicorn

import retriever as package
from retriever.api.archive import open_archive
from retriever.browser.app import make_app
from retriever.store.database import Database
from retriever.store.verdicts import index_verdicts

NAMES = (
    "<script>document.title='taken'</script>",
    "../../etc/passwd",
    '=HYPERLINK("http://example.org")',
    "x" * 10_000,
    "a 'quoted' \"name\" & more",
    "naïve ☆",
    *(f"star {k}" for k in range(54)),
)
WORDS = (
    "observatories.demo.epochs=60",
    "observatories.demo.flares=1",
    "observatories.demo.empty=0",
    "finder.snr_threshold=5",
)


@contextmanager
def serving(outputs: Path, data: Path, **words: object) -> Iterator[str]:
    """Serve an outputs folder; gives the address."""

    def index(verdict) -> None:
        with Database("", outputs) as database:
            index_verdicts(database, [asdict(verdict)])

    app = make_app(open_archive(outputs, data=data), who="tester", on_verdict=index, **words)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a version, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        catalog = {"name": list(NAMES), "ra": [10.0 + k for k in range(60)], "dec": [k - 30.0 for k in range(60)]}
        package.run(*WORDS, catalog=catalog, quiet=True)
    return folder


@pytest.fixture
def folder(made: Path, stand: Path) -> Path:
    """The folder that a test stands in, with a version in it."""
    shutil.copytree(made, stand, dirs_exist_ok=True)
    return stand


@pytest.fixture
def site(folder: Path) -> Iterator[str]:
    """Address of the browser."""
    with serving(folder / "outputs", folder / "data", hosts=["127.0.0.1"]) as address:
        yield address


@pytest.fixture
def client(site: str) -> Iterator[httpx.Client]:
    """Somebody who looks at it, and keeps cookies."""
    with httpx.Client(base_url=site, follow_redirects=True, timeout=30) as client:
        yield client


@pytest.fixture
def version(folder: Path):
    """The version."""
    (version,) = package.open().versions.values()
    return version
