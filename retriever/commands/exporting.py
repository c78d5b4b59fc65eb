"""The command export: versions in files of other tools."""

from collections.abc import Sequence
from pathlib import Path

from retriever.commands.command import Command, Parser, Words, print_result
from retriever.errors import ConfigError

__all__ = ["EXPORTING"]

_LISTED = 20
"""Files that are listed one by one."""


def _export(words: Words) -> int:
    from retriever.api.version import Version
    from retriever.commands.progress import progress
    from retriever.exports.export import export
    from retriever.exports.skyportal import SkyPortal
    from retriever.report.versions import find_version

    kind = words.format or ("hdf5" if words.layout else "")
    if not kind or (words.layout and kind != "hdf5"):
        raise ConfigError("export takes --format, or --layout per-source, which is of --format hdf5")
    instruments = _pairs(words.instrument, "--instrument")
    skyportal = SkyPortal(
        instruments={name: _number(number, "--instrument") for name, number in instruments},
        filters=dict(_pairs(words.filter, "--filter")),
        groups=tuple(_number(number, "--group") for number in words.group),
    )
    version = Version(find_version(words.version, words.outputs), words.data)
    with progress("exporting", "tables or sources") as report:
        files = export(
            version, Path(words.target).absolute(), kind, tables=words.table, sources=words.source or None,
            level=words.level, skyportal=skyportal, progress=report,
        )  # fmt: skip
    names = [str(file) for file in files]
    told = "\n".join(names) if len(names) <= _LISTED else f"{len(names)} files in {words.target}"
    print_result(words, {"version": version.name, "files": names}, lambda _: told)
    return 0


def _pairs(given: Sequence[str], option: str) -> list[tuple[str, str]]:
    pairs = [(name, value) for name, _, value in (word.partition("=") for word in given)]
    for name, value in pairs:
        if not name or not value:
            raise ConfigError(f"{option} takes NAME=VALUE, such as ztf=3")
    return pairs


def _number(text: str, option: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"{option} takes SkyPortal's number, not {text!r}")
    return int(text)


def _declare(parser: Parser) -> None:
    parser.add_argument("version", help="folder, name, or beginning of a name or hash")
    parser.add_argument("target", help="the file or folder to write")
    parser.add_argument(
        "--format",
        default="",
        help="of tables: csv, ecsv, fits, votable; of light curves: parquet, hats, lightkurve, hdf5, skyportal, "
        "skyportal-hdf5; of the sky that is covered: moc; of provenance: prov",
    )
    parser.add_argument(
        "--layout",
        choices=["per-source"],
        help="HDF5 files by right ascension, a group a source (AstroRetriever's)",
    )
    parser.add_argument("--table", action="append", default=[], help="only this table; may be given several times")
    parser.add_argument("--source", action="append", default=[], help="only light curves of this source; likewise")
    parser.add_argument("--level", default="processed", help="of light curves (default processed)")
    parser.add_argument(
        "--instrument", action="append", default=[], metavar="SURVEY=NUMBER", help="SkyPortal's instrument of a survey"
    )
    parser.add_argument("--filter", action="append", default=[], metavar="BAND=NAME", help="SkyPortal's name of a band")
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NUMBER",
        help="a group of SkyPortal (default: all)",
    )


EXPORTING = (
    Command(
        name="export",
        help="write tables, light curves or the provenance of a version for other tools",
        example="export DEMO_79ed detections.vot --format votable --table detections\n"
        "export DEMO_79ed lightcurves.parquet --format parquet --level reduced\nexport DEMO_79ed tables --format csv\n"
        "export DEMO_79ed photometry.jsonl --format skyportal --instrument demo=3",
        work=_export,
        declare=_declare,
    ),
)
"""The commands of this module."""
