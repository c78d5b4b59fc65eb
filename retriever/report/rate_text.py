"""Thresholds and rates as tables of text."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["rates_text", "thresholds_text"]


def thresholds_text(result: Mapping[str, Any]) -> str:
    """A table of thresholds with purity and completeness."""
    rows = result["thresholds"]
    if not rows:
        return f"{result['version']} has neither detections nor recovered injections"
    heads = ["S/N", "detections", "false alarms", "", "purity", "", "completeness"]
    second = ["", "", "flipped", "shuffled", "flipped", "shuffled", ""]
    cells = [
        [
            f"{row['threshold']:g}", str(row["detections"]), _number(row["flipped"]), _number(row["shuffled"]),
            _share(row["purity_flipped"]), _share(row["purity_shuffled"]),
            f"{_share(row['completeness'])} ({_share(row['low'])} to {_share(row['high'])})",
        ]
        for row in rows
    ]  # fmt: skip
    return _table([heads, second, *cells])


def rates_text(result: Mapping[str, Any]) -> str:
    """A table of bins with completeness and rate."""
    by = result["by"]
    heads = [*by, "injected", "observed", "completeness", "detections", "rate per source and day", "95 % limit"]
    cells = [
        [
            *(f"{row[f'{name}_from']:.3g} to {row[f'{name}_to']:.3g}" for name in by),
            str(row["injected"]),
            str(row["observed"]),
            f"{_share(row['completeness'])} ({_share(row['low'])} to {_share(row['high'])})",
            _number(row["detections"]),
            f"{_number(row['rate'])} ({_number(row['rate_low'])} to {_number(row['rate_high'])})",
            _number(row["limit"]),
        ]
        for row in result["bins"]
    ]
    return f"{result['source_days']:.6g} source-days searched\n{_table([heads, *cells])}"


def _share(value: float) -> str:
    return "-" if value != value else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3g}"


def _table(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)
