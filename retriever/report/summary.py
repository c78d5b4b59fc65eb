"""The summary at the end of a run."""

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from retriever.pipeline.run_summary import RunSummary

__all__ = ["print_summary"]


def print_summary(summary: "RunSummary") -> None:
    """Print what a run did, and the state of its version."""
    console = Console(highlight=False, soft_wrap=True)
    words = ("done", "empty", "failed", "blocked", "pending")
    for name, stages in summary.outcomes.items():
        for stage, counts in stages.items():
            text = ", ".join(f"{counts[word]} {word}" for word in words if word in counts)
            console.print(f"{name:>12} {stage:<9} {text}")
    console.print(f"light curves {summary.lightcurves}, detections {summary.detections}, "
                  f"injections {summary.injections}, recovered {summary.recovered}")  # fmt: skip
    if summary.dropped:
        reasons = ", ".join(f"{reason} {count}" for reason, count in summary.dropped.items())
        console.print(f"raw rows left out or changed (dropped.parquet): {reasons}", markup=False)
    worked = max(summary.computed.values())
    if worked:
        rate = worked / summary.seconds if summary.seconds else 0.0
        computed = ", ".join(f"{stage} {count}" for stage, count in summary.computed.items() if count)
        console.print(f"computed now: {computed} ({rate:.0f} sources a second)")
    elif summary.state in ("complete", "partial"):
        console.print("nothing to do: all that was asked for is there already")
    for sentence in summary.failures[:5]:
        console.print(f"failed: {sentence}", markup=False)
    if len(summary.failures) > 5:
        console.print(f"... and {len(summary.failures) - 5} more, all in products.parquet")
    if summary.reference:
        console.print(f"please cite for the catalog: {summary.reference}", markup=False)
    if summary.mixed:
        console.print(f"made in more than one environment: {', '.join(summary.mixed)}", markup=False)
    if summary.message:
        console.print(f"stopped: {summary.message}", markup=False)
    endings = {
        "complete": "complete",
        "partial": "part of the version is done; run again for the rest",
        "failures": "finished, some sources failed; run again to retry them",
        "aborted": "aborted; run again to go on",
        "interrupted": "interrupted; run again to go on from here",
    }
    console.print(f"{endings.get(summary.state, summary.state)}: {summary.folder}", markup=False)
