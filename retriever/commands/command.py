"""What a command is, and what all commands share: their words, the database, and how results are printed."""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from retriever.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from retriever.store.database import Database

__all__ = [
    "DAMAGED",
    "INTERRUPTED",
    "Command",
    "Parser",
    "Words",
    "database_address",
    "declare_json",
    "no_words",
    "open_database",
    "print_result",
    "unexpected",
]

DAMAGED = 4
"""Exit code of verify and show when something is not as it should be."""

INTERRUPTED = 130
"""Exit code of what was interrupted."""

Words = argparse.Namespace
"""Words of a command line, parsed."""

Parser = argparse.ArgumentParser

_Result = TypeVar("_Result")


def no_words(parser: Parser) -> None:
    """Declare no words, for commands that take none of their own."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of the command line. Its functions import what they need when they are called.

    Parameters
    ----------
    name, help
        As ``retriever --help`` lists it.
    example
        Command lines without ``retriever``, one a line.
    work
        Does the work; gives the exit code.
    declare
        Declares the words of the command.
    composes
        Whether it takes overrides of the config, in any place, instead of the folders and the database.
    own_help
        Whether `work` answers ``--help`` by itself.
    """

    name: str
    help: str
    example: str
    work: Callable[[Words], int]
    declare: Callable[[Parser], None] = no_words
    composes: bool = False
    own_help: bool = False

    def parser(self) -> Parser:
        """The parser of the command's words."""
        parser = Parser(
            prog=f"retriever {self.name}",
            description=self.help,
            epilog="examples:\n" + "\n".join(f"  retriever {line}" for line in self.example.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=not self.own_help,
            allow_abbrev=False,
        )
        self.declare_all(parser)
        return parser

    def declare_all(self, parser: Parser) -> None:
        """Declare the words of the command, and those that it shares with others."""
        self.declare(parser)
        if self.composes:
            _declare_config(parser)
        else:
            _declare_folders(parser)

    def parse(self, words: Sequence[str]) -> Words:
        """Parse the words after the command's name.

        Examples
        --------
        >>> command = Command(name="x", help="", example="", work=lambda words: 0, composes=True)
        >>> command.parse(["finder.snr_threshold=7", "--config-dir", "conf", "~finder.x"]).overrides
        ['finder.snr_threshold=7', '~finder.x']
        """
        if not self.composes:
            parsed = self.parser().parse_args(words)
            parsed.outputs, parsed.data = (Path(path).expanduser().absolute() for path in (parsed.outputs, parsed.data))
            return parsed
        parsed = self.parser().parse_args([word for word in words if not _is_override(word)])
        parsed.overrides += [word for word in words if _is_override(word)]
        return parsed


def _is_override(word: str) -> bool:
    return word.startswith(("+", "~")) or ("=" in word and not word.startswith("-"))


def _declare_config(parser: Parser) -> None:
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of the config")
    config = parser.add_argument_group("config")
    config.add_argument("-m", "--multirun", action="store_true", help="sweep over keys with several values")
    config.add_argument(
        "-cd",
        "--config-dir",
        metavar="FOLDER",
        help="folder with config groups of your own (default: conf, where it has project.yaml)",
    )
    config.add_argument(
        "-cn",
        "--config-name",
        metavar="NAME",
        help="the primary config file (default: config, or project where the config folder has it)",
    )
    config.add_argument("-c", "--cfg", choices=["job", "hydra", "all"], help="print the config, and do nothing else")
    config.add_argument("-p", "--package", metavar="KEY", help="print only this part of the config (with --cfg)")
    config.add_argument("--resolve", action="store_true", help="print values in place of interpolations (with --cfg)")
    config.add_argument(
        "-i",
        "--info",
        nargs="?",
        const="all",
        choices=["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"],
        help="print where the config comes from, and do nothing else",
    )


def _declare_folders(parser: Parser) -> None:
    declare_json(parser)
    parser.add_argument(
        "--outputs",
        default=os.environ.get("RETRIEVER_OUTPUTS", "outputs"),
        help="the outputs folder (default: $RETRIEVER_OUTPUTS, else outputs)",
    )
    parser.add_argument("--database", default="", help="address of the database (default: $RETRIEVER_DATABASE)")
    parser.add_argument(
        "--data",
        default=os.environ.get("RETRIEVER_DATA", "data"),
        help="the data folder (default: $RETRIEVER_DATA, else data)",
    )


def declare_json(parser: Parser) -> None:
    """Declare --json, which `print_result` looks at."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def unexpected(error: Exception) -> str:
    """One line on an error that retriever does not raise on purpose."""
    text = " ".join(str(error).split())
    return f"retriever: unexpected {type(error).__name__}: {text}; run again with -v for a traceback"


def print_result(words: Words, result: _Result, text: Callable[[_Result], str]) -> None:
    """Print a result: as JSON with --json, else as text."""
    print(json.dumps(result, indent=2, default=str) if words.json else text(result))


def database_address(words: Words) -> str:
    """Address of the database that the words or the environment name; "" for SQLite in the outputs folder.

    Raises
    ------
    ConfigError
        When it holds a password on the command line.
    """
    from retriever.store.connection import url_from_environment

    if words.database:
        from retriever.config import holds_password

        if holds_password(words.database):
            raise ConfigError("--database holds a password, which others can see; set RETRIEVER_DATABASE instead")
    return words.database or url_from_environment()


@contextmanager
def open_database(words: Words, must_exist: bool = True) -> "Iterator[Database]":
    """Open the database of a command.

    Parameters
    ----------
    must_exist
        Whether to refuse where there is none; else it is made.

    Raises
    ------
    ConfigError
        When the outputs folder is a file.
    StoreError
        When there is no database, or it cannot be opened.
    """
    from retriever.store.database import Database

    url = database_address(words)
    if words.outputs.exists() and not words.outputs.is_dir():
        raise ConfigError(f"--outputs is {words.outputs}, which is a file; name a folder")
    if must_exist and not Database.exists(url, words.outputs):
        raise StoreError(f"{words.outputs} has no retriever.db; run something first, or name the folder with --outputs")
    with Database(url, words.outputs) as database:
        if database.outdated:
            from retriever.retention.versions import renew

            renew(words.outputs, words.data, database)
        yield database
