"""The command line. Everything heavy is imported when its command is used."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from retriever import __version__
from retriever.commands import add_commands, execute
from retriever.composed import COMPOSED, parse
from retriever.errors import ConfigError, RetrieverError, nearest

__all__ = ["main"]

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # batches are the parallel work; threads inside them would only get in the way

_EPILOG = """\
examples:
  retriever run                                        the demo: a random sky, searched
  retriever run finder.snr_threshold=7.5 simulator=box
  retriever run -m finder.snr_threshold=5,6,7          a sweep
  retriever run experiment=ztf_folder paths.lightcurves=FOLDER catalog.path=TABLE
  retriever run --cfg job                              the whole config
  retriever run --from VERSION                         a saved version again
  retriever plan finder.snr_threshold=7                what a run would do, and why
  retriever try random_000003                          one source in memory; nothing is written
  retriever catalog info catalog=white_dwarfs_sample   what a catalog is
  retriever status                                     versions and their state
  retriever compare VERSION VERSION                    what differs
  retriever show VERSION/NAME                          a source, and where its products came from
  retriever COMMAND --help                             more of each
"""


INTERRUPTED = 130
"""Exit code of what was interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verbose = any(word in ("-v", "--verbose") for word in words)
    words = [word for word in words if word not in ("-v", "--verbose")]
    try:
        if words[:1] == ["run"] and "--from" in words:
            return _rerun(words[1:], verbose)
        if words[:1] == ["run"]:
            return _through_hydra(words[1:], lambda config: _run_config(config, verbose), verbose, sweeps=True)
        if words and words[0] in COMPOSED:
            overrides, work = parse(words)
            return _through_hydra(overrides, work, verbose, sweeps=False)
        return _command(words)
    except RetrieverError as error:
        if verbose:
            raise
        print(f"retriever: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("retriever: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if verbose:
            raise
        print(_unexpected(error), file=sys.stderr)
        return 1


def _unexpected(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"retriever: unexpected {type(error).__name__}: {text}; run again with -v to see where"


def _command(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="retriever",
        description="Search the light curves of many sources for rare events.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"retriever {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks and the log")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="download, reduce, analyze, simulate (retriever run --help)", add_help=False)
    for name, (_, text, _, _) in COMPOSED.items():
        commands.add_parser(name, help=text, add_help=False)
    add_commands(commands)
    return execute(parser.parse_args(words))


# ---- run and plan: through Hydra ---------------------------------------------------------------------------------


Work = Callable[[Any], tuple[int, str]]
"""Does something with a composed config; gives the exit code, and the version's folder where one was run."""


def _through_hydra(words: list[str], work: Work, verbose: bool, *, sweeps: bool) -> int:
    """Let Hydra compose the config, for each job of a sweep, and work on it; gives the worst exit code."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from retriever.config import CONFIG_FOLDER

    stands_in = str(Path.cwd())
    sys.path.insert(0, stands_in)  # the user's own classes lie where they stand
    _refuse_passwords(words)
    _warn_of_shadowed(words, CONFIG_FOLDER)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and exiting: the sentence is ours
    options, overrides = _split_options(words)
    before, sys.argv = sys.argv, ["retriever run", *options, *overrides]
    codes: list[int] = []
    sweep = None
    try:
        sweep = _sweep(options, overrides) if sweeps else None

        def job(config: Any) -> int:
            if Path.cwd() != Path(stands_in):  # in a process of a launcher, which may stand anywhere
                os.chdir(stands_in)
            if stands_in not in sys.path:
                sys.path.insert(0, stands_in)
            code, version = _apart(work, config, verbose)
            if sweep is not None:
                from hydra.core.hydra_config import HydraConfig

                sweep.record(int(HydraConfig.get().job.num), code, version)
                if code == INTERRUPTED:
                    raise KeyboardInterrupt
            codes.append(code)
            return code

        hydra.main(config_path=str(CONFIG_FOLDER), config_name="config", version_base="1.3")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        if sweep is not None:
            sweep.discard()
        raise ConfigError(_sentence(error)) from error
    finally:
        sys.argv = before
    if sweep is not None:
        codes = [one["exit_code"] for one in sweep.outcomes()]
        print(sweep.text())
    return _worst(codes)


def _sweep(options: list[str], overrides: list[str]) -> Any:
    """The sweep that words with -m ask for; None for a single run, or when nothing is to be run."""
    if not {"-m", "--multirun"} & set(options) or {"--cfg", "-c", "--help", "-h", "--info", "-i"} & set(options):
        return None
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from retriever.pipeline.sweep import open_sweep

    parsed = OverridesParser.create().parse_overrides(overrides)
    axes = {
        one.key_or_group.replace("/", "."): [word.strip("'\"") for word in one.sweep_string_iterator()]
        for one in parsed
        if one.is_sweep_override()
    }
    return open_sweep(_outputs_of(overrides), overrides, axes)


def _outputs_of(overrides: list[str]) -> Path:
    """The outputs folder that overrides or the environment name."""
    told = [word.partition("=")[2] for word in overrides if word.startswith("paths.outputs=")]
    return Path((told or [os.environ.get("RETRIEVER_OUTPUTS", "outputs")])[-1]).expanduser().absolute()


def _split_options(words: list[str]) -> tuple[list[str], list[str]]:
    """Options and overrides, each in their order: Hydra's parser takes overrides in one piece only.

    Examples
    --------
    >>> _split_options(["a=1", "--config-dir", "conf", "b=2", "-m"])
    (['--config-dir', 'conf', '-m'], ['a=1', 'b=2'])
    """
    with_value = {
        "--config-dir",
        "-cd",
        "--config-name",
        "-cn",
        "--config-path",
        "-cp",
        "--package",
        "-p",
        "--cfg",
        "-c",
    }
    options, overrides = [], []
    rest = iter(words)
    for word in rest:
        if word in with_value:
            options += [word, *([value] if (value := next(rest, None)) is not None else [])]
        elif word.startswith("-") and "=" not in word.split("-", 1)[0]:
            options.append(word)
        else:
            overrides.append(word)
    return options, overrides


def _refuse_passwords(words: list[str]) -> None:
    """Refuse addresses with a password before Hydra writes them down."""
    from retriever.config import holds_password

    for word in words:
        if holds_password(word):
            key = word.partition("=")[0]
            raise ConfigError(
                f"{key} holds a password, and configs are written down; set RETRIEVER_DATABASE in the environment"
            )


def _worst(codes: list[int]) -> int:
    """The worst of a sweep's exit codes: unexpected, then usage, then failures; an interruption before all."""
    order = (INTERRUPTED, 1, 2, 3, 0)
    return next((code for code in order if code in codes), 0)


def _apart(work: Work, config: Any, verbose: bool) -> tuple[int, str]:
    """One job; under a sweep what goes wrong with one must not end the others."""
    try:
        return work(config)
    except RetrieverError as error:
        if verbose:
            raise
        print(f"retriever: {error}", file=sys.stderr)
        return error.exit_code, ""
    except KeyboardInterrupt:
        print("retriever: interrupted; run again to go on from here", file=sys.stderr)
        return INTERRUPTED, ""
    except Exception as error:
        if verbose:
            raise
        print(_unexpected(error), file=sys.stderr)
        return 1, ""


def _run_config(config: Any, verbose: bool) -> tuple[int, str]:
    from retriever.pipeline.session import run_config
    from retriever.report.summary import print_summary

    summary = run_config(config, verbose)
    print_summary(summary)
    return summary.exit_code, summary.folder


def _rerun(words: list[str], verbose: bool) -> int:
    """Run a saved version again: ``run --from VERSION [OVERRIDES]``."""
    from retriever.pipeline.rerun import rerun
    from retriever.report.summary import print_summary
    from retriever.report.versions import find_version

    at = words.index("--from")
    if at + 1 >= len(words):
        raise ConfigError("--from needs a version: retriever run --from VERSION [OVERRIDES]")
    overrides = words[:at] + words[at + 2 :]
    _refuse_passwords(overrides)
    sys.path.insert(0, str(Path.cwd()))
    saved = find_version(words[at + 1], _outputs_of(overrides))
    summary, differences = rerun(saved, overrides, verbose)
    print_summary(summary)
    for sentence in differences:
        print(f"differs from {saved.name}: {sentence}")
    if not differences:
        print(f"code, environment and data are those of {saved.name}")
    return summary.exit_code


def _sentence(error: Exception) -> str:
    """Hydra's message in one sentence, with the nearest known key or choice."""
    cause = error.__cause__
    lines = [line.strip() for line in f"{error}\n{cause or ''}".splitlines() if line.strip()]
    text = lines[0].rstrip(".") if lines else type(error).__name__
    if text.startswith("Could not override '"):
        key = text.split("'")[1]
        return f"the config has no {key!r}{nearest(key, _known_keys())}"
    if text.startswith("Could not append"):
        return f"{text}; it is there already, so leave the '+' away"
    if text.startswith("In 'config': Could not find '") or "Could not find" in text:
        wanted = text.split("'")[3] if text.count("'") >= 4 else text
        group, _, choice = wanted.rpartition("/")
        known = [path.stem for path in (_config_folder() / group).glob("*.yaml")]
        return f"there is no {choice!r} among the choices of {group!r}{nearest(choice, known)}"
    if text.startswith("Error merging override"):
        key = text.removeprefix("Error merging override").strip()
        return f"cannot use the override {key}: {lines[1] if len(lines) > 1 else 'it does not fit the config'}"
    return f"{text}; see retriever run --help"


def _config_folder() -> Path:
    from retriever.config import CONFIG_FOLDER

    return CONFIG_FOLDER


def _known_keys() -> list[str]:
    """Addresses of all parameters of the default config."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(_config_folder()), version_base="1.3"):
        tree = compose("config")
    keys: list[str] = []

    def collect(node: Any, where: str) -> None:
        for key in node:
            address = f"{where}{key}"
            keys.append(address)
            inner = node._get_node(key)
            if hasattr(inner, "keys") and not inner._is_none() and not inner._is_missing():
                collect(inner, f"{address}.")

    collect(tree, "")
    return keys


def _warn_of_shadowed(words: list[str], own: Path) -> None:
    """Files of --config-dir that retriever's own config tree has too are not used: say so."""
    for flag, value in zip(words, ([*words, ""])[1:], strict=True):
        folder = (
            value
            if flag in ("--config-dir", "-cd")
            else flag.partition("=")[2]
            if flag.startswith("--config-dir=")
            else ""
        )
        if not folder or Path(folder).absolute() == own:
            continue
        if not Path(folder).is_dir():
            raise ConfigError(f"--config-dir {folder} is not a folder; give the folder that holds your config groups")
        for path in sorted(Path(folder).rglob("*.yaml")):
            name = path.relative_to(folder)
            if (own / name).exists():
                print(
                    f"retriever: {path} is not used: retriever's own {name} comes first; give it another name",
                    file=sys.stderr,
                )


if __name__ == "__main__":
    sys.exit(main())
