"""Commands that compose a config as run does, and run nothing: plan, try, adopt, catalog."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.commands.command import Command, Parser, Words, declare_json, print_result
from retriever.commands.running import Done, with_config
from retriever.errors import ConfigError

if TYPE_CHECKING:
    from retriever.config import Config

__all__ = ["COMPOSING"]


# ---- plan ----------------------------------------------------------------------------------------------------------


def _plan(config: Config, words: Words) -> Done:
    from retriever.pipeline.explain import preview_text
    from retriever.pipeline.session import plan_config

    preview = plan_config(config)
    print_result(words, preview.as_dict(), lambda _: preview_text(preview))
    return 0, ""


# ---- try -----------------------------------------------------------------------------------------------------------


def _try_words(parser: Parser) -> None:
    declare_json(parser)
    parser.add_argument("what", help='a name or alias of the catalog, "RA DEC" in degrees, or a TIC number ("TIC 123")')
    parser.add_argument("--stages", default="", help="which stages, separated by commas (default: all)")


def _try(config: Config, words: Words) -> Done:
    from retriever.pipeline.preview import try_config
    from retriever.report.show import show_text

    stages = tuple(stage for stage in words.stages.split(",") if stage)
    result = try_config(config, words.what, stages)
    print_result(words, result, show_text)
    return (3 if any("failed" in survey for survey in result["observatories"].values()) else 0), ""


# ---- adopt ---------------------------------------------------------------------------------------------------------


def _adopt_words(parser: Parser) -> None:
    declare_json(parser)
    parser.add_argument("folder", help="where the files are")
    parser.add_argument("--observatory", default="", help="whose raw data they are, where the config has several")
    parser.add_argument("--pattern", default="*{name}.*", help="their names (default: *{name}.*)")
    parser.add_argument("--key", default="", help="column in which the files name their sources")
    parser.add_argument("--headers", default="", choices=["", "TESS", "Kepler"], help="find stars by FITS headers")


def _adopt(config: Config, words: Words) -> Done:
    from retriever.pipeline.adopting import adopt_folder, adopted_text

    result = adopt_folder(
        config, words.folder, observatory=words.observatory, pattern=words.pattern, key=words.key, headers=words.headers
    )
    print_result(words, vars(result), lambda _: adopted_text(result))
    return (3 if result.failed else 0), ""


# ---- catalog -------------------------------------------------------------------------------------------------------


def _catalog_words(parser: Parser) -> None:
    declare_json(parser)
    parser.add_argument("action", choices=["info", "query", "match"], help="what it is; rows of it; pairs with another")
    parser.add_argument("what", nargs="?", help='for query a name or "RA DEC"; for match a table with name, ra, dec')
    parser.add_argument("--radius", type=float, default=5.0, help="arcsec (default 5)")
    parser.add_argument("--epoch", type=float, default=2000.0, help="Julian year to compare places at (default 2000)")
    parser.add_argument("--all", action="store_true", help="for match: also sources that are not the nearest one")


def _catalog(config: Config, words: Words) -> Done:
    from retriever.report import catalog

    sources = catalog.load(config)
    if words.action == "info":
        print_result(words, catalog.info(sources), catalog.info_text)
        return 0, ""
    if not words.what:
        raise ConfigError(f"catalog {words.action} needs a name, a place or a file; see retriever catalog --help")
    if words.action == "query":
        rows, note = catalog.query(sources, words.what, words.radius, words.epoch), ""
    else:
        rows, note = catalog.matches(sources, words.what, words.radius, words.epoch, mutual=not words.all)
    print_result(words, rows, catalog.rows_text)
    if note:
        print(note, file=sys.stderr)
    return 0, ""


# ---- options -------------------------------------------------------------------------------------------------------


def _options_words(parser: Parser) -> None:
    parser.add_argument(
        "choice", nargs="?", default="", help="GROUP, or GROUP=CHOICE; all groups where nothing is given"
    )
    parser.add_argument("-cd", "--config-dir", metavar="FOLDER", help="folder with config groups of your own")
    parser.add_argument("--markdown", action="store_true", help="print all of them as a page")


def _options(words: Words) -> int:
    from dataclasses import asdict

    from retriever.composition.options import choice_of, choice_text, groups_text, options_page
    from retriever.composition.request import ConfigRequest
    from retriever.pipeline.settings import Paths, RunSettings

    sys.path.insert(0, str(Path.cwd()))
    folders, settings = ConfigRequest.here(config_dir=words.config_dir).folders, {"run": RunSettings, "paths": Paths}
    group, _, name = words.choice.partition("=")
    if words.markdown:
        print(options_page(folders, settings), end="")
    elif name:
        choice = choice_of(group, name, folders, settings)
        print_result(words, asdict(choice), lambda _: choice_text(choice))
    else:
        print_result(words, groups_text(group, folders, settings), str)
    return 0


COMPOSING = (
    Command(
        name="plan",
        help="what a run would do, and why; takes the overrides of run",
        example="plan\nplan finder.snr_threshold=7\nplan catalog.size=2000 --json",
        work=with_config(_plan),
        declare=declare_json,
        composes=True,
    ),
    Command(
        name="options",
        help="show the choices of the config, and their parameters with defaults and meanings",
        example="options\noptions finder\noptions finder=bls\noptions run",
        work=_options,
        declare=_options_words,
    ),
    Command(
        name="try",
        help="take one source through the stages in memory, and show it; nothing is written",
        example="try random_000003\ntry 'TIC 441420236' observatory=tess\n"
        "try '208.29 48.67' observatory=ztf --stages download",
        work=with_config(_try),
        declare=_try_words,
        composes=True,
    ),
    Command(
        name="adopt",
        help="use raw files on disk as if they had been downloaded",
        example="adopt FOLDER catalog=file catalog.path=TABLE observatory=ztf\n"
        "adopt FOLDER observatory=tess --headers TESS\nadopt FOLDER observatory=ztf --pattern '*.csv' --key star",
        work=with_config(_adopt),
        declare=_adopt_words,
        composes=True,
    ),
    Command(
        name="catalog",
        help="describe a catalog, look up rows, match it with another",
        example="catalog info catalog=white_dwarfs_sample\n"
        "catalog query '0.5 10.2' --radius 30 catalog=white_dwarfs_sample\n"
        "catalog match TABLE --radius 2 catalog=white_dwarfs_sample",
        work=with_config(_catalog),
        declare=_catalog_words,
        composes=True,
    ),
)
"""The commands of this module."""
