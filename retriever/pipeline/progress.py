"""Progress of a run, for people who watch it."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

__all__ = ["Progress"]


class Progress:
    """A bar on the terminal, or nothing where there is none to see it."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._console = console
        self._bar = Bar(
            TextColumn("[bold]searching"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("sources"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[failed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task("", total=0, rate="", failed="")
        self._failed = 0

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def expect(self, sources: int) -> None:
        """Say how many sources more are to come."""
        self._bar.update(self._task, total=(self._bar.tasks[0].total or 0) + sources)

    def advance(self, sources: int, failed: int) -> None:
        """Say how many sources came."""
        self._failed += failed
        task = self._bar.tasks[0]
        rate = f"{(task.completed + sources) / task.elapsed:.0f} sources/s" if task.elapsed else ""
        words = f"[red]{self._failed} failed" if self._failed else ""
        self._bar.update(self._task, advance=sources, rate=rate, failed=words)

    def waiting(self, holder: str) -> None:
        """Say whom the run waits for."""
        self._console.print(f"waiting for {holder}, which works on the same stage", highlight=False)
