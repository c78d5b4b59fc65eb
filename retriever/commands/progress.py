"""A progress bar for commands that take long."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]


@contextmanager
def progress(label: str, unit: str = "segments") -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error while some work goes on; nothing where that is no terminal.

    Parameters
    ----------
    label, unit
        What is done, and what is counted.

    Yields
    ------
    callable
        Takes the number done and the total.

    Examples
    --------
    >>> with progress("verifying") as report:
    ...     report(3, 10)
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(f"[bold]{label}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report
