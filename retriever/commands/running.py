"""The command run, and how every command that composes a config does so: once, or for each job of a sweep."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.commands.command import INTERRUPTED, Command, Parser, Words, unexpected
from retriever.errors import ConfigError, RetrieverError

if TYPE_CHECKING:
    from retriever.composition.request import ConfigRequest
    from retriever.config import Config
    from retriever.pipeline.run_summary import RunSummary
    from retriever.pipeline.sweep import Sweep

__all__ = ["RUNNING", "Done", "with_config"]

Done = tuple[int, str]
"""Exit code, and the folder of the version where one was run."""

Work = Callable[["Config", Words], Done]
"""What a command does with a composed config."""


# ---- commands that compose a config --------------------------------------------------------------------------------


def with_config(work: Work) -> Callable[[Words], int]:
    """Make the work of a command out of work on a composed config; with -m it is done for each job of the sweep."""

    def command(words: Words) -> int:
        request = _request(words)
        if _shown(words, request):
            return 0
        return _sweep(words, request, work, None) if words.multirun else _single(words, request, work)

    return command


def _request(words: Words) -> ConfigRequest:
    """The config that the words ask for; looks for the user's own classes in the current folder."""
    from retriever.composition.request import ConfigRequest, shadowed
    from retriever.config import holds_password

    sys.path.insert(0, str(Path.cwd()))
    for word in words.overrides:
        if holds_password(word):
            key = word.partition("=")[0]
            raise ConfigError(
                f"{key} holds a password, and configs are written down; set RETRIEVER_DATABASE in the environment"
            )
    request = ConfigRequest.here(words.overrides, words.config_dir, words.config_name)
    for path, name in shadowed(request):
        print(
            f"retriever: {path} is not used, because retriever has a config file {name} too; give yours another name",
            file=sys.stderr,
        )
    return request


def _shown(words: Words, request: ConfigRequest) -> bool:
    """Print the config or where it comes from, if the words ask for that; whether they did."""
    from retriever.composition import showing

    if words.cfg is None and (words.package is not None or words.resolve):
        raise ConfigError("--package and --resolve say how to print the config; add --cfg job")
    if words.cfg is not None:
        print(showing.config_text(request, words.cfg, words.package, words.resolve), end="")
    elif words.info is not None:
        showing.print_info(request, words.info)
    return words.cfg is not None or words.info is not None


def _single(words: Words, request: ConfigRequest, work: Work) -> int:
    from retriever.composition.compose import compose

    return _attempt(work, compose(request), words)[0]


def _sweep(words: Words, request: ConfigRequest, work: Work, sweep: Sweep | None) -> int:
    """Do the work for each job; gives the worst exit code of those that ran in this process, or that the sweep has."""
    from retriever.composition.sweeps import run_jobs

    codes: list[int] = []

    def job(config: Config, number: int) -> None:
        code, version = _attempt(work, config, words)
        codes.append(code)
        if sweep is not None:
            sweep.record(number, code, version)
        if code == INTERRUPTED:
            raise KeyboardInterrupt

    run_jobs(request, job)
    return _worst(codes if sweep is None else sweep.exit_codes())


def _attempt(work: Work, config: Config, words: Words) -> Done:
    """One job: what goes wrong with it is printed, so that it does not end the other jobs of a sweep."""
    try:
        return work(config, words)
    except RetrieverError as error:
        if words.verbose:
            raise
        print(f"retriever: {error}", file=sys.stderr)
        return error.exit_code, ""
    except KeyboardInterrupt:
        print("retriever: interrupted; run again to continue", file=sys.stderr)
        return INTERRUPTED, ""
    except BrokenPipeError:
        raise
    except Exception as error:
        if words.verbose:
            raise
        print(unexpected(error), file=sys.stderr)
        return 1, ""


def _worst(codes: list[int]) -> int:
    """The worst of a sweep's exit codes.

    Examples
    --------
    >>> _worst([0, 3, 2]), _worst([])
    (2, 0)
    """
    order = (INTERRUPTED, 1, 2, 3, 0)
    return next((code for code in order if code in codes), 0)


# ---- run -----------------------------------------------------------------------------------------------------------


def _run(words: Words) -> int:
    if words.help:
        return _help(words)
    if words.saved is not None:
        return _run_saved(words)
    if not words.multirun:
        return with_config(_run_config)(words)
    return _run_sweep(words)


def _help(words: Words) -> int:
    from retriever.composition.showing import help_text

    print(f"{RUN.parser().format_help()}\n{help_text(_request(words))}", end="")
    return 0


def _run_config(config: Config, words: Words) -> Done:
    from retriever.pipeline.session import run_config
    from retriever.report.summary import print_summary

    summary = run_config(config, words.verbose)
    print_summary(summary)
    if not words.multirun:
        _report(config, summary)
    return summary.exit_code, summary.folder


def _report(config: Config, summary: RunSummary) -> None:
    """Write the report of a run that ended, and tell where it is."""
    if summary.wants_report and summary.state in ("complete", "partial", "failures"):
        from retriever.pages.report import report_after_run
        from retriever.pipeline.settings import Paths

        told = report_after_run(summary, Paths(data=str(config.paths.data)).data_root)
        if told:
            print(told)


def _run_sweep(words: Words) -> int:
    from retriever.composition.sweeps import axes, outputs_of_sweep
    from retriever.pipeline.settings import Paths
    from retriever.pipeline.sweep import open_sweep

    request = _request(words)
    if _shown(words, request):
        return 0
    outputs = Paths(outputs=outputs_of_sweep(request)).outputs_root
    sweep = open_sweep(outputs, request.overrides, axes(request))
    try:
        code = _sweep(words, request, _run_config, sweep)
    except ConfigError:
        sweep.discard()
        raise
    print(sweep.text())
    return code


def _run_saved(words: Words) -> int:
    """Run a saved version again: ``run --from VERSION [OVERRIDES]``."""
    from retriever.composition.request import outputs_override
    from retriever.composition.saved import changed
    from retriever.config import load_frozen
    from retriever.pipeline.rerun import rerun
    from retriever.pipeline.settings import Paths
    from retriever.report.summary import print_summary
    from retriever.report.versions import find_version

    if words.multirun or words.cfg is not None or words.info is not None:
        raise ConfigError("run --from runs one version; leave -m, --cfg and --info away")
    request = _request(words)
    outputs = outputs_override(request.overrides) or os.environ.get("RETRIEVER_OUTPUTS", "outputs")
    saved = find_version(words.saved, Paths(outputs=outputs).outputs_root)
    config = changed(load_frozen(saved.folder / "config.yaml"), request)
    summary, differences = rerun(saved, config, words.verbose)
    print_summary(summary)
    _report(config, summary)
    for sentence in differences:
        print(f"differs from {saved.name}: {sentence}")
    if not differences:
        print(f"code, environment and data are those of {saved.name}")
    return summary.exit_code


def _run_words(parser: Parser) -> None:
    parser.add_argument("-h", "--help", action="store_true", help="print this, the config groups and the config")
    parser.add_argument("--from", dest="saved", metavar="VERSION", help="run the config of a saved version again")
    parser.add_argument("-r", "--run", action="store_true", help=argparse.SUPPRESS)


RUN = Command(
    name="run",
    help="download, reduce, analyze and simulate the sources of a catalog",
    example="run\nrun finder.snr_threshold=7.5 simulator=box\nrun -m finder.snr_threshold=5,6,7\n"
    "run --config-dir conf finder=mine\nrun --from DEMO_79edd068693d finder.snr_threshold=6 simulator=box\n"
    "run --cfg job --package finder",
    work=_run,
    declare=_run_words,
    composes=True,
    own_help=True,
)

RUNNING = (RUN,)
"""The commands of this module."""
