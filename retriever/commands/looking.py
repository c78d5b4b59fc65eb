"""Commands that look at versions and change nothing: status, where, show, compare, simulated."""

import sys
from pathlib import Path
from typing import Any

from retriever.commands.command import DAMAGED, Command, Parser, Words, open_database, print_result
from retriever.errors import ConfigError

__all__ = ["LOOKING"]


def _status(words: Words) -> int:
    from retriever.report import status

    with open_database(words) as database:
        result = status.versions(database, words.outputs)
    print_result(words, result, status.versions_text)
    return 0


def _where(words: Words) -> int:
    from retriever.report import status

    with open_database(words) as database:
        result = status.where(database, words.outputs, words.data, words.name)
    print_result(words, result, status.where_text)
    return 0


def _show(words: Words) -> int:
    from retriever.report.show import show_in_version, show_text

    if (words.near is None) == (words.thing is None):
        raise ConfigError("show takes one thing, or --near RA DEC")
    result: Any = show_in_version(words.thing, words.outputs, words.data) if words.thing is not None else None
    if result is None:
        from retriever.report import known

        with open_database(words) as database:
            if words.near is not None:
                ra, dec = words.near
                result = {"what": "sources", "sources": known.near(ra, dec, database, words.radius)}
            else:
                result = known.show_known(words.thing, words.outputs, words.data, database)
    print_result(words, result, show_text)
    return 0 if result.get("hash_holds", True) else DAMAGED


def _compare(words: Words) -> int:
    from retriever.report import compare
    from retriever.report.versions import find_versions

    versions = find_versions(words.versions, words.outputs)
    if len(versions) < 2:
        raise ConfigError("compare takes two versions or more")
    if words.html:
        from retriever.pages.comparison import write_comparison

        path = write_comparison(versions, Path(words.html).absolute())
        written = {"versions": [version.name for version in versions], "file": str(path)}
        print_result(words, written, lambda result: str(result["file"]))
        return 0
    if len(versions) == 2:
        print_result(words, compare.compare_two(*versions), compare.compare_text)
    else:
        print_result(words, compare.compare_many(versions), compare.many_text)
    return 0


def _thresholds(words: Words) -> int:
    from retriever.report.completeness import SearchResults, thresholds_of
    from retriever.report.rate_text import thresholds_text
    from retriever.report.versions import find_version

    version = find_version(words.version, words.outputs)
    print_result(
        words,
        {"version": version.name, "thresholds": thresholds_of(version, SearchResults.read(version))},
        thresholds_text,
    )
    return 0


def _rates(words: Words) -> int:
    from retriever.report.completeness import SearchResults, rates_by
    from retriever.report.rate_text import rates_text
    from retriever.report.versions import find_version

    version = find_version(words.version, words.outputs)
    by = [word.strip() for word in words.by.split(",")]
    if words.bins < 1:
        raise ConfigError(f"--bins is {words.bins}; give one or more")
    results = SearchResults.read(version)
    told = {
        "version": version.name, "by": by, "threshold": words.threshold, "source_days": results.source_days,
        "bins": rates_by(results, by, words.bins, words.threshold),
    }  # fmt: skip
    print_result(words, told, rates_text)
    return 0


def _simulated(words: Words) -> int:
    from retriever.lightcurves import LightcurveSet
    from retriever.pipeline.regenerate import simulated_lightcurves, truth_agrees
    from retriever.report.tables import write_lightcurves
    from retriever.report.versions import find_version

    sys.path.insert(0, str(Path.cwd()))
    version = find_version(words.version, words.outputs)
    with open_database(words) as database:
        tables = simulated_lightcurves(version.folder, words.name, words.data, database)
    lightcurves = {
        name: LightcurveSet.read(own, "simulated_lightcurves", "simulated_epochs") for name, own in tables.items()
    }
    result = {
        "epochs": write_lightcurves(Path(words.file), lightcurves),
        "lightcurves": sum(len(own) for own in lightcurves.values()),
        "truth": truth_agrees(version, words.name, tables),
        "file": words.file,
    }
    print_result(
        words,
        result,
        lambda result: (
            f"{result['epochs']} epochs of {result['lightcurves']} light curves: {result['file']}; "
            f"{_AGREEMENT[result['truth']]}"
        ),
    )
    return DAMAGED if result["truth"] == "different" else 0


_AGREEMENT = {
    "identical": "the events are those of the version",
    "equal": "the events are those of the version within 1e-12",
    "different": "the events are NOT those of the version, which other code or another environment made",
}


def _report(words: Words) -> int:
    from retriever.api.version import Version
    from retriever.report.versions import find_version

    if words.best < 0:
        raise ConfigError(f"--best is {words.best}; give zero or more")
    version = Version(find_version(words.version, words.outputs), words.data)
    path = version.report(Path(words.file).absolute() if words.file else None, best=words.best)
    print_result(words, {"version": version.name, "file": str(path)}, lambda result: str(result["file"]))
    return 0


# ---- words -------------------------------------------------------------------------------------------------------


def _name_words(parser: Parser) -> None:
    parser.add_argument("name", help="name or alias of a source")


def _show_words(parser: Parser) -> None:
    parser.add_argument(
        "thing",
        nargs="?",
        help="VERSION, SOURCE, VERSION/SOURCE, VERSION/SOURCE/OBSERVATORY/NUMBER[/PEAK] or a segment's file",
    )
    parser.add_argument("--near", nargs=2, type=float, metavar=("RA", "DEC"), help="sources near a place, in degrees")
    parser.add_argument("--radius", type=float, default=60.0, help="of --near, in arcsec (default 60)")


def _compare_words(parser: Parser) -> None:
    parser.add_argument("versions", nargs="+", help="folders, names, beginnings of names or hashes, or 'NAME_*'")
    parser.add_argument("--html", metavar="FILE", default="", help="write a page with plots into this file instead")


def _version_words(parser: Parser) -> None:
    parser.add_argument("version", help="folder, name, or beginning of a name or hash")


def _rates_words(parser: Parser) -> None:
    _version_words(parser)
    parser.add_argument(
        "--by", default="snr", help="quantities with commas between: snr, amplitude, width, period, total_snr"
    )
    parser.add_argument("--bins", type=int, default=6, help="bins of each quantity (default 6)")
    parser.add_argument("--threshold", type=float, default=0.0, help="least S/N of detections that count")


def _report_words(parser: Parser) -> None:
    _version_words(parser)
    parser.add_argument("--file", default="", help="the file to write (default: report.html in the version's folder)")
    parser.add_argument("--best", type=int, default=8, help="detections to show with light curves (default 8)")


def _simulated_words(parser: Parser) -> None:
    _version_words(parser)
    parser.add_argument("name", help="name of a source")
    parser.add_argument("file", help="the Parquet file to write: one row an epoch")


LOOKING = (
    Command(
        name="status", help="list versions, their parameters and state", example="status\nstatus --json", work=_status
    ),
    Command(
        name="where",
        help="find the files and rows of a source",
        example="where random_000003",
        work=_where,
        declare=_name_words,
    ),
    Command(
        name="show",
        help="show a version, a source, a light curve or a detection, and where it came from",
        example="show DEMO_79edd068693d\nshow random_000003\nshow DEMO_79ed/random_000003/demo/1\n"
        "show outputs/DEMO_79edd068693d/random_000003\nshow --near 12.5 -3.2",
        work=_show,
        declare=_show_words,
    ),
    Command(
        name="compare",
        help="say what differs between versions, from their folders alone",
        example="compare DEMO_79ed DEMO_26ac\ncompare 'DEMO_*' --html compare.html",
        work=_compare,
        declare=_compare_words,
    ),
    Command(
        name="thresholds",
        help="show purity and completeness of a version by the least S/N of its detections",
        example="thresholds DEMO_79ed",
        work=_thresholds,
        declare=_version_words,
    ),
    Command(
        name="rates",
        help="show completeness and rates of events of a version, with intervals",
        example="rates DEMO_79ed\nrates DEMO_79ed --by amplitude,width --threshold 6",
        work=_rates,
        declare=_rates_words,
    ),
    Command(
        name="report",
        help="write a page about a version into one HTML file",
        example="report DEMO_79ed\nreport DEMO_79ed --file demo.html --best 30",
        work=_report,
        declare=_report_words,
    ),
    Command(
        name="simulated",
        help="make a source's simulated light curves again",
        example="simulated DEMO_79ed random_000003 lc.parquet",
        work=_simulated,
        declare=_simulated_words,
    ),
)
"""The commands of this module."""
