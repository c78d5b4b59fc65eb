"""The command line. Everything heavy is imported when its command is used."""

import argparse
import gc
import os
import sys
from collections.abc import Sequence

from retriever import __version__
from retriever.commands.command import INTERRUPTED, unexpected
from retriever.commands.completing import complete, is_asked
from retriever.commands.listing import COMMANDS
from retriever.errors import RetrieverError

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit code.

    Parameters
    ----------
    arguments
        Words after the program's name; None for those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    verbose = any(word in ("-v", "--verbose") for word in words)
    words = [word for word in words if word not in ("-v", "--verbose")]
    gc.set_threshold(50_000, 20, 20)  # most of what a command allocates stays: looking for garbage costs a tenth
    sys.setswitchinterval(0.0005)  # seconds; workers wait for short-lived work of other threads than the busy one
    try:
        return _run_command(words, verbose)
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
        print(unexpected(error), file=sys.stderr)
        return 1


def _run_command(words: Sequence[str], verbose: bool) -> int:
    if is_asked():
        complete(_listing())
    command = COMMANDS.get(words[0]) if words else None
    if command is None:
        _listing().parse_args(words)  # prints help, the version or what is wrong, and exits
        return 2
    parsed = command.parse(words[1:])
    parsed.verbose = verbose
    return command.work(parsed)


def _listing() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retriever",
        description="Search the light curves of many sources for rare events.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"retriever {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks and the log")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        words = commands.add_parser(command.name, help=command.help, add_help=False)
        if is_asked():
            command.declare_all(words)
    return parser


if __name__ == "__main__":
    sys.exit(main())
