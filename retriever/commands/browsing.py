"""Commands to look through detections in a web browser, and to list what people said of them."""

import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retriever.commands.command import Command, Parser, Words, database_address, print_result
from retriever.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from retriever.report.verdicts import Verdict

__all__ = ["BROWSING"]

_PORT = 8642


def _browse(words: Words) -> int:
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    from retriever.api.archive import open_archive
    from retriever.browser.app import make_app
    from retriever.browser.guard import is_loopback
    from retriever.browser.serving import serve
    from retriever.report.verdicts import read_verdicts

    archive = open_archive(words.outputs, data=words.data)
    is_private = is_loopback(words.host)
    token = "" if is_private else secrets.token_urlsafe(18)
    with _listening(words.host, words.port) as listener:
        port = listener.getsockname()[1]
        # a host that stands for all addresses has no name of its own
        hosts = ["localhost", "127.0.0.1", "::1", words.host] if is_private else []
        _index(words, read_verdicts(archive.outputs))
        app = make_app(
            archive, hosts=hosts, token=token, who=_user(), on_verdict=lambda verdict: _index(words, [verdict])
        )
        name = socket.gethostname() if words.host in ("0.0.0.0", "::") else words.host
        shown = f"[{name}]" if ":" in name else name
        address = f"http://{shown}:{port}/" + f"?token={token}" * bool(token)
        serve(app, listener, on_ready=lambda: _tell(address, words.open))
    print()
    return 0


def _tell(address: str, is_to_open: bool) -> None:
    print(f"{address}\nCtrl-C ends it", flush=True)
    if is_to_open:
        import webbrowser

        webbrowser.open(address)


def _listening(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)  # else each answer waits for 40 ms
        return listener
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}, port {port}: {reason}; choose another with --port") from error


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def _index(words: Words, verdicts: "list[Verdict]") -> None:
    """Enter verdicts in the database where there is one. They are in their file already, so nothing depends on it."""
    from dataclasses import asdict

    from retriever.store.database import Database
    from retriever.store.verdicts import index_verdicts

    url = database_address(words)
    if not verdicts or not Database.exists(url, words.outputs):
        return
    try:
        with Database(url, words.outputs) as database:
            index_verdicts(database, map(asdict, verdicts))
    except StoreError as error:
        print(f"retriever: verdicts are kept, but not in the database ({error})", file=sys.stderr)


def _verdicts(words: Words) -> int:
    from retriever.api.archive import open_archive
    from retriever.exports.tables import write_csv

    frame = open_archive(words.outputs, data=words.data).verdicts
    if words.csv:
        path = Path(words.csv)
        try:
            with path.open("x", encoding="utf-8", newline="") as file:
                write_csv(frame, file)
        except FileExistsError as error:
            raise ConfigError(f"{path} is there already; choose another name") from error
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
        print_result(words, {"file": words.csv, "verdicts": len(frame)},
                     lambda result: f"{result['verdicts']} verdicts: {result['file']}")  # fmt: skip
        return 0
    rows = [{key: None if value != value else value for key, value in row.items()} for row in frame.to_dict("records")]
    print_result(words, rows, _verdicts_text)
    return 0


def _verdicts_text(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "no verdicts yet; retriever browse shows detections to judge"
    return "\n".join(
        f"{row['at'][:16]}  {row['verdict'] or 'withdrawn':<9} {row['source']}  {row['observatory']}  "
        f"MJD {row['time_peak']:.5f}  {row['who']}{': ' * bool(row['note'])}{row['note']}"
        for row in rows
    )


def _browse_words(parser: Parser) -> None:
    parser.add_argument("--port", type=int, default=_PORT, help=f"port (default {_PORT}; 0 for any that is free)")
    parser.add_argument(
        "--host", default="127.0.0.1",
        help="address to listen on (default 127.0.0.1, this machine alone); any other wants the token that is printed",
    )  # fmt: skip
    parser.add_argument("--open", action="store_true", help="open it in the web browser")


def _verdicts_words(parser: Parser) -> None:
    parser.add_argument("--csv", default="", metavar="FILE", help="write them as CSV into a file")


BROWSING = (
    Command(
        name="browse",
        help="look through detections in a web browser, and judge them",
        example="browse\nbrowse --port 9000 --open",
        work=_browse,
        declare=_browse_words,
    ),
    Command(
        name="verdicts",
        help="list what people said of detections",
        example="verdicts\nverdicts --csv verdicts.csv",
        work=_verdicts,
        declare=_verdicts_words,
    ),
)
"""The commands of this module."""
