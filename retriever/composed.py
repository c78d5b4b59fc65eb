"""Commands that take the words of a run, beside their own: plan, try, adopt, catalog. Hydra composes their config."""

import argparse
from collections.abc import Callable
from typing import Any

from retriever.commands import parser_words, tell
from retriever.errors import ConfigError

__all__ = ["COMPOSED", "parse"]

Words = argparse.Namespace
Done = tuple[int, str]
"""Exit code, and the folder of the version where one was run."""


def parse(words: list[str]) -> tuple[list[str], Callable[[Any], Done]]:
    """Cut a command's words into those for Hydra and the work on the config that it composes.

    Examples
    --------
    >>> parse(["plan", "finder.snr_threshold=7", "--json"])[0]
    ['finder.snr_threshold=7']
    """
    work, text, example, declare = COMPOSED[words[0]]
    parser = argparse.ArgumentParser(prog=f"retriever {words[0]}", **parser_words(text, example))
    declare(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="words of retriever run")
    overrides = [word for word in words[1:] if _is_override(word)]
    told, options = parser.parse_known_args([word for word in words[1:] if not _is_override(word)])
    return [*options, *told.overrides, *overrides], lambda config: work(config, told)


def _is_override(word: str) -> bool:
    return "=" in word and not word.startswith("--")


# ---- plan ----------------------------------------------------------------------------------------------------------


def _plan(config: Any, words: Words) -> Done:
    from retriever.pipeline.explain import preview_text
    from retriever.pipeline.session import plan_config

    preview = plan_config(config)
    tell(words, preview.as_dict(), lambda _: preview_text(preview))
    return 0, ""


# ---- try -----------------------------------------------------------------------------------------------------------


def _try_words(parser: Any) -> None:
    parser.add_argument("what", help='a name or alias of the catalog, "RA DEC" in degrees, or a TIC number ("TIC 123")')
    parser.add_argument("--stages", default="", help="which stages, separated by commas (default: all)")


def _try(config: Any, words: Words) -> Done:
    from retriever.pipeline.preview import try_config
    from retriever.report.show import show_text

    stages = tuple(word for word in words.stages.split(",") if word)
    found = try_config(config, words.what, stages)
    tell(words, found, show_text)
    return (3 if any("failed" in one for one in found["observatories"].values()) else 0), ""


# ---- adopt ---------------------------------------------------------------------------------------------------------


def _adopt_words(parser: Any) -> None:
    parser.add_argument("folder", help="where the files are")
    parser.add_argument("--observatory", default="", help="whose raw data they are, where the config has several")
    parser.add_argument("--pattern", default="*{name}.*", help="their names (default: *{name}.*)")
    parser.add_argument("--key", default="", help="column in which the files name their sources")
    parser.add_argument("--headers", default="", choices=["", "TESS", "Kepler"], help="find stars by FITS headers")


def _adopt(config: Any, words: Words) -> Done:
    from retriever.pipeline.adopting import adopt_folder, adopted_text

    found = adopt_folder(
        config, words.folder, observatory=words.observatory, pattern=words.pattern, key=words.key, headers=words.headers
    )
    tell(words, vars(found), lambda _: adopted_text(found))
    return (3 if found.failed else 0), ""


# ---- catalog -------------------------------------------------------------------------------------------------------


def _catalog_words(parser: Any) -> None:
    parser.add_argument("action", choices=["info", "query", "match"], help="what it is; rows of it; pairs with another")
    parser.add_argument("what", nargs="?", help='for query a name or "RA DEC"; for match a table with name, ra, dec')
    parser.add_argument("--radius", type=float, default=5.0, help="arcsec (default 5)")
    parser.add_argument("--epoch", type=float, default=2000.0, help="Julian year to compare places at (default 2000)")


def _catalog(config: Any, words: Words) -> Done:
    from retriever.report import catalog

    sources = catalog.load(config)
    if words.action == "info":
        tell(words, catalog.info(sources), catalog.info_text)
        return 0, ""
    if not words.what:
        raise ConfigError(f"catalog {words.action} needs a name, a place or a file; see retriever catalog --help")
    rows = catalog.query if words.action == "query" else catalog.matches
    tell(words, rows(sources, words.what, words.radius, words.epoch), catalog.rows_text)
    return 0, ""


COMPOSED: dict[str, tuple[Callable[[Any, Words], Done], str, str, Callable[[Any], None]]] = {
    "plan": (
        _plan,
        "what a run would do, and why; takes the words of run",
        "plan\nplan finder.snr_threshold=7\nplan catalog.size=2000 --json",
        lambda parser: None,
    ),
    "try": (
        _try,
        "take one source through the stages in memory, and show it; nothing is written",
        "try random_000003\ntry 'TIC 441420236' observatory=tess\ntry '208.29 48.67' observatory=ztf --stages download",
        _try_words,
    ),
    "adopt": (
        _adopt,
        "take over raw files on disk as if they had been downloaded",
        "adopt FOLDER catalog=file catalog.path=TABLE observatory=ztf\n"
        "adopt FOLDER observatory=tess --headers TESS\nadopt FOLDER observatory=ztf --pattern '*.csv' --key star",
        _adopt_words,
    ),
    "catalog": (
        _catalog,
        "describe a catalog, look up rows, match it with another",
        "catalog info catalog=white_dwarfs_sample\ncatalog query '0.5 10.2' --radius 30 catalog=white_dwarfs_sample\n"
        "catalog match TABLE --radius 2 catalog=white_dwarfs_sample",
        _catalog_words,
    ),
}
