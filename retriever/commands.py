"""Every command but run and plan: what words it takes, and which function does the work."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retriever.errors import ConfigError, StoreError, nearest

if TYPE_CHECKING:
    from retriever.store.database import Database

__all__ = ["DAMAGED", "add_commands", "execute", "parser_words", "tell"]

DAMAGED = 4
"""Exit code of verify when something is not as it should be."""

Words = argparse.Namespace


def add_commands(commands: Any) -> None:
    """Declare the commands; nothing heavy is imported for it."""
    for name, (_, text, example, declare) in _COMMANDS.items():
        parser = commands.add_parser(name, help=text, **parser_words(text, example))
        declare(parser)
        parser.add_argument("--json", action="store_true", help="print JSON")
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


def parser_words(text: str, example: str) -> dict[str, Any]:
    """How the parser of a command describes it, with examples."""
    return {
        "description": text,
        "epilog": "examples:\n" + "\n".join(f"  retriever {line}" for line in example.splitlines()),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def execute(words: Words) -> int:
    """Do what the words say; gives the exit code."""
    words.outputs, words.data = (Path(folder).expanduser().absolute() for folder in (words.outputs, words.data))
    work: Callable[[Words], int] = _COMMANDS[words.command][0]
    return work(words)


def tell(words: Words, found: Any, text: Callable[[Any], str]) -> None:
    """Print what was found: as JSON where that is wished, else as text."""
    print(json.dumps(found, indent=2, default=str) if words.json else text(found))


@contextmanager
def _database(words: Words, must_exist: bool = True) -> "Iterator[Database]":
    from retriever.store.connection import url_from_environment
    from retriever.store.database import Database

    if words.database:
        from retriever.config import holds_password

        if holds_password(words.database):
            raise ConfigError("--database holds a password, which others can see; set RETRIEVER_DATABASE instead")
    url = words.database or url_from_environment()
    if must_exist and not Database.exists(url, words.outputs):
        raise StoreError(f"{words.outputs} has no retriever.db; run something first, or name the folder with --outputs")
    with Database(url, words.outputs) as database:
        if database.outdated:
            from retriever.retention.versions import renew

            renew(words.outputs, words.data, database)
        yield database


# ---- looking -----------------------------------------------------------------------------------------------------


def _status(words: Words) -> int:
    from retriever.report import status

    with _database(words) as database:
        found = status.versions(database, words.outputs)
    tell(words, found, status.versions_text)
    return 0


def _where(words: Words) -> int:
    from retriever.report import status

    with _database(words) as database:
        found = status.where(database, words.outputs, words.data, words.name)
    tell(words, found, status.where_text)
    return 0


def _show(words: Words) -> int:
    from retriever.report.show import show_in_version, show_text

    if (words.near is None) == (words.thing is None):
        raise ConfigError("show takes one thing, or --near RA DEC")
    found: Any = show_in_version(words.thing, words.outputs, words.data) if words.thing is not None else None
    if found is None:
        from retriever.report import known

        with _database(words) as database:
            if words.near is not None:
                ra, dec = words.near
                found = {"what": "sources", "sources": known.near(ra, dec, database, words.radius)}
            else:
                found = known.show_known(words.thing, words.outputs, words.data, database)
    tell(words, found, show_text)
    return 0 if found.get("hash_holds", True) else DAMAGED


def _compare(words: Words) -> int:
    from retriever.report import compare
    from retriever.report.versions import find_versions

    versions = find_versions(words.versions, words.outputs)
    if len(versions) < 2:
        raise ConfigError("compare takes two versions or more")
    if len(versions) == 2:
        tell(words, compare.compare_two(*versions), compare.compare_text)
    else:
        tell(words, compare.compare_many(versions), compare.many_text)
    return 0


def _simulated(words: Words) -> int:
    from retriever.lightcurves import LightcurveSet
    from retriever.pipeline.regenerate import simulated_lightcurves, truth_agrees
    from retriever.report.tables import write_lightcurves
    from retriever.report.versions import find_version

    sys.path.insert(0, str(Path.cwd()))
    version = find_version(words.version, words.outputs)
    with _database(words) as database:
        found = simulated_lightcurves(version.folder, words.name, words.data, database)
    sets = {
        name: LightcurveSet.read(tables, "simulated_lightcurves", "simulated_epochs") for name, tables in found.items()
    }
    rows = write_lightcurves(Path(words.file), sets)
    summary = {
        "epochs": rows,
        "lightcurves": sum(len(lightcurves) for lightcurves in sets.values()),
        "truth": truth_agrees(version, words.name, found),
        "file": words.file,
    }
    tell(
        words,
        summary,
        lambda told: (
            f"{told['epochs']} epochs of {told['lightcurves']} light curves, "
            f"whose events are {_AGREEMENT[told['truth']]}: {told['file']}"
        ),
    )
    return DAMAGED if summary["truth"] == "different" else 0


_AGREEMENT = {
    "identical": "those of the version",
    "equal": "those of the version within 1e-12",
    "different": "NOT those of the version",
}


# ---- looking after -----------------------------------------------------------------------------------------------


def _verify(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.store import queries, upkeep

    roots = {"data": words.data, "outputs": words.outputs}
    with _database(words) as database:
        stages = None
        if words.version is not None:
            stages = queries.stage_ids_of(database, find_version(words.version, words.outputs).name)
        if words.repair:
            upkeep.refuse_while_running(database, "repair")
        found = list(upkeep.verify(database, roots, stages))
        if words.repair and found:
            upkeep.repair(database, roots, found)
    told = [{key: getattr(one, key) for key in ("kind", "root", "path", "what")} for one in found]

    def text(rows: list[dict[str, Any]]) -> str:
        lines = [f"{row['kind']}: {row['root']}/{row['path']}: {row['what']}" for row in rows]
        end = f"{len(rows)} findings" if rows else "all is as it should be"
        if rows:
            end += "; repaired, run again to make anew what was lost" if words.repair else "; --repair mends them"
        return "\n".join([*lines, end])

    tell(words, told, text)
    return DAMAGED if found and not words.repair else 0


def _redo(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.store import queries, upkeep

    if words.stage == "download" and not words.raw:
        raise ConfigError("redo of download asks the survey again; say so with --raw")
    with _database(words) as database:
        upkeep.refuse_while_running(database, "send products back")
        version = find_version(words.version, words.outputs)
        stages = queries.stage_ids_of(database, version.name, words.stage)
        if not stages:
            known = sorted({stage for of in version.manifest["inputs"]["stage_keys"].values() for stage in of})
            raise ConfigError(f"{version.name} has no stage {words.stage!r}{nearest(words.stage, known)}")
        count = upkeep.redo(database, stages, words.sources)
    if not count:
        raise StoreError(f"{version.name} has no {words.stage} products of {', '.join(words.sources)}")
    tell(words, {"pending": count}, lambda told: f"{told['pending']} products are pending again; run to make them")
    return 0


def _remove(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.retention import versions

    version = find_version(words.version, words.outputs)
    with _database(words) as database:
        versions.remove(version, database)
    text = "removed {removed}; its products stay until: retriever gc".format
    tell(words, {"removed": version.name}, lambda told: text(**told))
    return 0


def _pin(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.retention import versions

    version = find_version(words.version, words.outputs)
    versions.unpin(version) if words.off else versions.pin(version, words.why)
    tell(
        words,
        {"version": version.name, "pinned": not words.off},
        lambda told: f"{told['version']} is {'pinned' if told['pinned'] else 'not pinned any more'}",
    )
    return 0


def _gc(words: Words) -> int:
    from retriever.retention import versions
    from retriever.store import upkeep

    roots = {"data": words.data, "outputs": words.outputs}
    with _database(words) as database:
        upkeep.refuse_while_running(database, "collect garbage")
        garbage = versions.unneeded(words.outputs, words.data, database, words.raw)
        kinds = sorted({one.kind for one in garbage})
        found: dict[str, Any] = {
            "files": len(garbage),
            "bytes": sum(one.size for one in garbage),
            "kinds": {kind: sum(one.size for one in garbage if one.kind == kind) for kind in kinds},
            "freed": not words.dry_run,
        }
        if not words.json:
            print(f"{found['files']} files that no version stands on, {found['bytes']} bytes")
            for kind, size in found["kinds"].items():
                print(f"  {kind}: {size} bytes")
        if not words.dry_run:
            upkeep.collect(database, roots, garbage)
    tell(words, found, lambda told: "freed" if told["freed"] else "nothing was removed (--dry-run)")
    return 0


def _rebuild(words: Words) -> int:
    from retriever.retention import versions

    with _database(words, must_exist=False) as database:
        found = versions.rebuild(words.outputs, words.data, database)
    tell(words, found, lambda told: f"the database has {told['segments']} segments and {told['versions']} versions")
    return 0


def _pack(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.retention.archive import pack_version

    found = pack_version(find_version(words.version, words.outputs), words.data, Path(words.file))
    tell(words, found, lambda told: f"{told['files']} files, {told['bytes']} bytes: {words.file}")
    return 0


def _unpack(words: Words) -> int:
    from retriever.retention.archive import unpack_version

    with _database(words, must_exist=False) as database:
        name = unpack_version(Path(words.file), words.outputs, words.data, database)
    tell(words, {"version": name}, lambda told: f"unpacked {told['version']}; retriever status lists it")
    return 0


# ---- words -------------------------------------------------------------------------------------------------------


def _no_words(parser: Any) -> None:
    pass


def _name_words(parser: Any) -> None:
    parser.add_argument("name", help="name or alias of a source")


def _show_words(parser: Any) -> None:
    parser.add_argument(
        "thing",
        nargs="?",
        help="VERSION, SOURCE, VERSION/SOURCE, VERSION/SOURCE/OBSERVATORY/NUMBER[/PEAK] or a segment's file",
    )
    parser.add_argument("--near", nargs=2, type=float, metavar=("RA", "DEC"), help="sources near a place, in degrees")
    parser.add_argument("--radius", type=float, default=60.0, help="of --near, in arcsec (default 60)")


def _compare_words(parser: Any) -> None:
    parser.add_argument("versions", nargs="+", help="folders, names, beginnings of names or hashes, or 'NAME_*'")


def _simulated_words(parser: Any) -> None:
    _version_words(parser)
    parser.add_argument("name", help="name of a source")
    parser.add_argument("file", help="the Parquet file to write: one row an epoch")


def _version_words(parser: Any) -> None:
    parser.add_argument("version", help="folder, name, or beginning of a name or hash")


def _verify_words(parser: Any) -> None:
    parser.add_argument("version", nargs="?", help="only what this version stands on")
    parser.add_argument("--repair", action="store_true", help="send back what is damaged, take over what is unknown")


def _redo_words(parser: Any) -> None:
    _version_words(parser)
    parser.add_argument("--sources", nargs="+", required=True, help="names")
    parser.add_argument("--stage", required=True, help="download, reduce, analyze or simulate")
    parser.add_argument("--raw", action="store_true", help="yes, ask the survey again")


def _pin_words(parser: Any) -> None:
    _version_words(parser)
    parser.add_argument("--why", default="", help="a word on why")
    parser.add_argument("--off", action="store_true", help="take the pin away")


def _gc_words(parser: Any) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    parser.add_argument("--raw", action="store_true", help="raw data too")


def _pack_words(parser: Any) -> None:
    _version_words(parser)
    parser.add_argument("file", help="the archive to write")


def _unpack_words(parser: Any) -> None:
    parser.add_argument("file", help="the archive")


_COMMANDS: dict[str, tuple[Callable[[Words], int], str, str, Callable[[Any], None]]] = {
    "status": (_status, "list versions, their parameters and state", "status --json", _no_words),
    "where": (_where, "find the files and rows of a source", "where random_000003", _name_words),
    "show": (
        _show,
        "show a thing and where it came from",
        "show DEMO_79edd068693d\nshow random_000003\nshow DEMO_79ed/random_000003/demo/1\nshow --near 12.5 -3.2",
        _show_words,
    ),
    "compare": (
        _compare,
        "say what differs between versions, from their folders alone",
        "compare DEMO_79ed DEMO_26ac\ncompare 'DEMO_*'",
        _compare_words,
    ),
    "simulated": (
        _simulated,
        "make a source's simulated light curves again",
        "simulated DEMO_79ed random_000003 lc.parquet",
        _simulated_words,
    ),
    "verify": (
        _verify,
        "compare segments, digests and database; exit code 4 when something is wrong",
        "verify\nverify DEMO_79ed --repair",
        _verify_words,
    ),
    "redo": (
        _redo,
        "send chosen products back to pending",
        "redo DEMO_79ed --sources random_000003 --stage reduce",
        _redo_words,
    ),
    "pin": (_pin, "keep a version from being removed", "pin DEMO_79ed --why 'in the paper'", _pin_words),
    "remove": (_remove, "remove a version", "remove DEMO_79ed", _version_words),
    "gc": (_gc, "free what no version stands on", "gc --dry-run\ngc --raw", _gc_words),
    "rebuild": (_rebuild, "make the database anew from data and outputs", "rebuild", _no_words),
    "pack": (_pack, "pack a version with its products into one file", "pack DEMO_79ed demo.zip", _pack_words),
    "unpack": (_unpack, "unpack a packed version; nothing is computed", "unpack demo.zip", _unpack_words),
}
