"""Commands that check, change or carry what is on disk: verify, redo, pin, remove, gc, rebuild, pack, unpack."""

import sys
from pathlib import Path
from typing import Any

from retriever.commands.command import DAMAGED, Command, Parser, Words, database_address, open_database, print_result
from retriever.commands.progress import progress
from retriever.errors import ConfigError, StoreError, nearest

__all__ = ["MAINTENANCE"]


def _verify(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.store import queries, upkeep

    roots = {"data": words.data, "outputs": words.outputs}
    with open_database(words) as database:
        stages = None
        if words.version is not None:
            stages = queries.stage_ids_of(database, find_version(words.version, words.outputs).name)
        if words.repair:
            upkeep.refuse_while_running(database, "repair")
        with progress("verifying") as report:
            findings = list(upkeep.verify(database, roots, stages, on_progress=report))
        if words.repair and findings:
            upkeep.repair(database, roots, findings)
    rows = [{key: getattr(finding, key) for key in ("kind", "root", "path", "what")} for finding in findings]

    def text(rows: list[dict[str, object]]) -> str:
        lines = [f"{row['kind']}: {row['root']}/{row['path']}: {row['what']}" for row in rows]
        end = f"{len(rows)} findings" if rows else "no findings: files, digests and database agree"
        if rows:
            end += "; repaired, run again to make what was lost" if words.repair else "; --repair repairs them"
        return "\n".join([*lines, end])

    print_result(words, rows, text)
    return DAMAGED if findings and not words.repair else 0


def _redo(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.store import queries, upkeep

    if words.stage == "download" and not words.raw:
        raise ConfigError("redo of download asks the survey again; confirm with --raw")
    with open_database(words) as database:
        upkeep.refuse_while_running(database, "invalidate products")
        version = find_version(words.version, words.outputs)
        stages = queries.stage_ids_of(database, version.name, words.stage)
        if not stages:
            known = {stage for own in version.manifest["inputs"]["stage_keys"].values() for stage in own}
            raise ConfigError(f"{version.name} has no stage {words.stage!r}{nearest(words.stage, known)}")
        count = upkeep.redo(database, stages, words.sources)
    if not count:
        raise StoreError(f"{version.name} has no {words.stage} products of {', '.join(words.sources)}")
    print_result(
        words, {"pending": count}, lambda result: f"{result['pending']} products are pending; run to make them"
    )
    return 0


def _remove(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.retention import versions

    version = find_version(words.version, words.outputs)
    with open_database(words) as database:
        versions.remove(version, database)
    text = "removed {removed}; retriever gc deletes its products".format
    print_result(words, {"removed": version.name}, lambda result: text(**result))
    return 0


def _pin(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.retention import versions

    version = find_version(words.version, words.outputs)
    versions.unpin(version) if words.off else versions.pin(version, words.why)
    print_result(
        words,
        {"version": version.name, "pinned": not words.off},
        lambda result: f"{result['version']} is {'pinned' if result['pinned'] else 'no longer pinned'}",
    )
    return 0


def _gc(words: Words) -> int:
    from retriever.retention import versions
    from retriever.store import garbage as store_garbage
    from retriever.store import upkeep

    roots = {"data": words.data, "outputs": words.outputs}
    with open_database(words) as database:
        upkeep.refuse_while_running(database, "collect garbage")
        garbage = versions.unneeded(words.outputs, words.data, database, words.raw)
        kinds = sorted({file.kind for file in garbage})
        result: dict[str, Any] = {
            "files": len(garbage),
            "bytes": sum(file.size for file in garbage),
            "kinds": {kind: sum(file.size for file in garbage if file.kind == kind) for kind in kinds},
            "freed": not words.dry_run,
        }
        if not words.json:
            print(f"{result['files']} files that no version needs, {result['bytes']} bytes")
            for kind, size in result["kinds"].items():
                print(f"  {kind}: {size} bytes")
        if not words.dry_run:
            with progress("deleting", "files") as report:
                store_garbage.collect(database, roots, garbage, on_progress=report)
    print_result(words, result, lambda result: "deleted" if result["freed"] else "nothing was deleted (--dry-run)")
    return 0


def _rebuild(words: Words) -> int:
    from retriever.retention import versions

    _set_aside_broken(words)
    with open_database(words, must_exist=False) as database, progress("reading") as report:
        result = versions.rebuild(words.outputs, words.data, database, on_progress=report)
    print_result(
        words,
        result,
        lambda result: f"the database has {result['segments']} segments and {result['versions']} versions",
    )
    return 0


def _set_aside_broken(words: Words) -> None:
    """Rename the file of an SQLite database that cannot be read; rebuild then makes a new one."""
    from retriever.store.connection import set_aside_if_broken

    try:
        aside = set_aside_if_broken(database_address(words), words.outputs)
    except OSError as error:
        raise StoreError(f"cannot rename the broken database in {words.outputs}: {error.strerror or error}") from error
    if aside is not None:
        print(f"retriever: the database was broken; it is kept as {aside}", file=sys.stderr)


def _pack(words: Words) -> int:
    from retriever.report.versions import find_version
    from retriever.retention.archive import pack_version

    version = find_version(words.version, words.outputs)
    with progress("packing", "files") as report:
        result = pack_version(version, words.data, Path(words.file), on_progress=report)
    print_result(words, result, lambda result: f"{result['files']} files, {result['bytes']} bytes: {words.file}")
    return 0


def _unpack(words: Words) -> int:
    from retriever.retention.archive import unpack_version

    with open_database(words, must_exist=False) as database:
        name = unpack_version(Path(words.file), words.outputs, words.data, database)
    print_result(words, {"version": name}, lambda result: f"unpacked {result['version']}; retriever status lists it")
    return 0


# ---- words -------------------------------------------------------------------------------------------------------


def _version_words(parser: Parser) -> None:
    parser.add_argument("version", help="folder, name, or beginning of a name or hash")


def _verify_words(parser: Parser) -> None:
    parser.add_argument("version", nargs="?", help="only the products of this version")
    parser.add_argument("--repair", action="store_true", help="set damaged products to pending, index unknown files")


def _redo_words(parser: Parser) -> None:
    _version_words(parser)
    parser.add_argument("--sources", nargs="+", required=True, help="names of sources")
    parser.add_argument("--stage", required=True, help="download, reduce, analyze or simulate")
    parser.add_argument("--raw", action="store_true", help="confirm that the survey is asked again")


def _pin_words(parser: Parser) -> None:
    _version_words(parser)
    parser.add_argument("--why", default="", help="the reason, which is kept with the pin")
    parser.add_argument("--off", action="store_true", help="remove the pin")


def _gc_words(parser: Parser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted, and delete nothing")
    parser.add_argument("--raw", action="store_true", help="delete raw data too")


def _pack_words(parser: Parser) -> None:
    _version_words(parser)
    parser.add_argument("file", help="the archive to write")


def _unpack_words(parser: Parser) -> None:
    parser.add_argument("file", help="the archive")


MAINTENANCE = (
    Command(
        name="verify",
        help="compare segments, digests and database; exit code 4 when something is wrong",
        example="verify\nverify DEMO_79ed --repair",
        work=_verify,
        declare=_verify_words,
    ),
    Command(
        name="redo",
        help="set chosen products to pending, so that the next run makes them again",
        example="redo DEMO_79ed --sources random_000003 --stage reduce",
        work=_redo,
        declare=_redo_words,
    ),
    Command(
        name="pin",
        help="keep a version from being removed",
        example="pin DEMO_79ed --why 'in the paper'",
        work=_pin,
        declare=_pin_words,
    ),
    Command(name="remove", help="remove a version", example="remove DEMO_79ed", work=_remove, declare=_version_words),
    Command(
        name="gc",
        help="delete files that no version needs",
        example="gc --dry-run\ngc --raw",
        work=_gc,
        declare=_gc_words,
    ),
    Command(
        name="rebuild",
        help="make the database anew from data and outputs",
        example="rebuild",
        work=_rebuild,
    ),
    Command(
        name="pack",
        help="pack a version with its products into one file",
        example="pack DEMO_79ed demo.zip",
        work=_pack,
        declare=_pack_words,
    ),
    Command(
        name="unpack",
        help="unpack a packed version; nothing is computed",
        example="unpack demo.zip",
        work=_unpack,
        declare=_unpack_words,
    ),
)
"""The commands of this module."""
