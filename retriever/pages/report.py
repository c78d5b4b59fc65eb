"""The report of a version: one HTML file that needs nothing else."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.errors import ConfigError, DataError, RetrieverError, StoreError
from retriever.lightcurve import Lightcurve
from retriever.pages.figures import image
from retriever.pages.references import reference_of
from retriever.pages.writing import write_page
from retriever.plots import (
    plot_completeness,
    plot_event,
    plot_folded,
    plot_funnel,
    plot_lightcurve,
    plot_scores,
    plot_sky,
    plot_thresholds,
)
from retriever.report.completeness import QUANTITIES
from retriever.report.histograms import good_epochs_by_score
from retriever.report.parameters import flat_parameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from retriever.api.candidates import Candidate
    from retriever.api.version import Version
    from retriever.pipeline.run_summary import RunSummary

__all__ = ["REPORT", "report_after_run", "write_report"]

REPORT = "report.html"
"""Name of the file in the version's folder."""

_CAUSES = 12
_ON_SKY = 50_000
_GROUPS = ("catalog", "detrend", "quality", "finder", "analysis", "simulator", "scrambler")


def write_report(version: "Version", path: Path | None = None, *, best: int = 8) -> Path:
    """Write the report of a version.

    Parameters
    ----------
    version
        The version, with its tables.
    path
        The file; ``report.html`` in the version's folder where none is given.
    best
        Number of detections that are shown with their light curves.

    Raises
    ------
    StoreError
        When the version has no tables, or the file cannot be written.
    """
    if not version.has_tables:
        raise StoreError(f"{version.name} has no tables yet; run it to its end first")
    return write_page("report.html", _content(version, best), version.folder / REPORT if path is None else path)


def report_after_run(summary: "RunSummary", data: Path) -> str:
    """Write the report of the version that a run ended with, unless it changed nothing; gives what to tell of it.

    A report that cannot be written is no failure of the run.
    """
    from retriever.api.version import Version
    from retriever.report.versions import VersionFolder

    version = Version(VersionFolder(Path(summary.folder)), data)
    if not version.has_tables or ((version.folder / REPORT).exists() and not any(summary.computed.values())):
        return ""
    try:
        return f"report: {write_report(version)}"
    except (RetrieverError, OSError, KeyError, ValueError) as error:
        return f"there is no report ({error}); retriever report {version.name} writes it"


def _content(version: "Version", best: int) -> dict[str, object]:
    """Everything that the template shows."""
    manifest = version.manifest
    products, detections = version.products, version.detections
    parameters = flat_parameters(manifest["inputs"])
    candidates = version.candidates()
    return {
        "name": version.name,
        "description": str(version.config.project.get("description") or ""),
        "created": str(manifest.get("created", ""))[:16].replace("T", " "),
        "hash": manifest["hash"],
        "counts": _counts(version),
        "outcomes": _outcomes(products),
        "causes": _causes(products),
        "groups": [(group, _part(parameters, group)) for group in _GROUPS],
        "surveys": [
            (name, _part(parameters, f"observatories.{name}"), reference_of(survey))
            for name, survey in sorted(version.surveys.items())
        ],
        "config": _yaml(version),
        "commits": manifest["inputs"]["commits"],
        "uncommitted": (version.folder / "uncommitted.patch").exists(),
        "environment": manifest.get("environment", {}),
        "references": _references(version),
        "sky": _sky(version, detections),
        "funnel": _funnel(version, products, detections),
        "scores": _scores(version, parameters),
        "completeness": _completeness(version),
        "thresholds": _thresholds(version),
        "rates": _rates(version),
        "best": [_candidate(candidate) for candidate in candidates[:best]],
        "n_candidates": len(candidates),
        "reproduce": f"retriever run --from {version.name}",
    }


# ---- what was searched and how -------------------------------------------------------------------------------------


def _part(parameters: Mapping[str, object], group: str) -> dict[str, object]:
    """Parameters of a part of the config."""
    return {key.removeprefix(f"{group}."): value for key, value in parameters.items() if key.startswith(f"{group}.")}


def _yaml(version: "Version") -> str:
    try:
        return (version.folder / "config.yaml").read_text(encoding="utf-8")
    except OSError:
        return ""


def _references(version: "Version") -> list[str]:
    """What to cite: the catalog, as runs recorded it, and the surveys."""
    cited: dict[str, None] = {}
    for path in sorted(version.folder.glob("runs/*/summary.json")):
        try:
            cited[str(json.loads(path.read_text(encoding="utf-8")).get("reference", ""))] = None
        except (OSError, ValueError):
            continue
    cited |= dict.fromkeys(reference_of(survey) for survey in version.surveys.values())
    return [text for text in cited if text]


# ---- counts --------------------------------------------------------------------------------------------------------


def _counts(version: "Version") -> dict[str, int]:
    injections = version.table("injections", ["recovered"])
    return {
        "sources": len(version.table("sources", ["name"])),
        "light curves": len(version.table("lightcurves", ["number"])),
        "detections": len(version.table("detections", ["snr"])),
        "injected events": len(injections),
        "recovered events": int(injections["recovered"].sum()),
    }


def _outcomes(products: Any) -> list[dict[str, object]]:
    counted = products.groupby(["observatory", "stage", "outcome"], sort=False).size()
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for (observatory, stage, outcome), n in counted.items():
        row = rows.setdefault((observatory, stage), {"observatory": observatory or "all", "stage": stage})
        row[str(outcome)] = int(n)
    return list(rows.values())


def _causes(products: Any) -> list[tuple[str, int, str]]:
    """Causes of failures: sentences without the names and numbers in them, how often each, and a source."""
    failed = products[products["outcome"] == "failed"]
    plain = [re.sub(r"'[^']*'|\"[^\"]*\"|\b\d[\d.eE+-]*", "…", text) for text in failed["message"]]
    first = dict(zip(reversed(plain), reversed(failed["source"].tolist()), strict=True))
    return [(text, n, first[text]) for text, n in Counter(plain).most_common(_CAUSES)]


# ---- figures -------------------------------------------------------------------------------------------------------


def _sky(version: "Version", detections: Any) -> str:
    sources = version.table("sources", ["name", "ra", "dec"])
    if len(sources) > _ON_SKY:
        sources = sources.iloc[np.linspace(0, len(sources) - 1, _ON_SKY).astype(np.int64)]
    marked = sources["name"].isin(set(detections["source"])).to_numpy()
    places = sources["ra"].to_numpy(), sources["dec"].to_numpy()
    return image(lambda ax: plot_sky(*places, ax, marked=marked), width=7, height=4, projection="aitoff")


def _funnel(version: "Version", products: Any, detections: Any) -> list[str]:
    curves = version.table("lightcurves", ["source", "n_epochs", "n_good"])
    dropped = version.table("dropped", ["n_rows"])["n_rows"].sum() if "dropped" in version.tables else 0
    raw = products[(products["stage"] == "download") & (products["outcome"] == "done")]
    of_sources = {
        "sources": len(version.table("sources", ["name"])), "with raw data": raw["source"].nunique(),
        "with light curves": curves["source"].nunique(), "with detections": detections["source"].nunique(),
    }  # fmt: skip
    epochs = int(curves["n_epochs"].sum())
    of_epochs = {"raw rows": epochs + int(dropped), "epochs": epochs, "good epochs": int(curves["n_good"].sum())}
    return [image(_draw_funnel(steps), width=5, height=2.0) for steps in (of_sources, of_epochs)]


def _draw_funnel(steps: Mapping[str, int]) -> Any:
    return lambda ax: plot_funnel(steps, ax)


def _scores(version: "Version", parameters: Mapping[str, object]) -> list[str]:
    """Histograms of the S/N of good epochs."""
    threshold = parameters.get("finder.snr_threshold")
    limits = [float(threshold), -float(threshold)] if isinstance(threshold, (int, float)) else []
    images = []
    for name, (counts, low) in good_epochs_by_score(version.folder).items():
        # the bins of epochs below and above all others, and of those without a score, are left out
        inside = np.flatnonzero(np.isfinite(low))[:-1]
        if name.split(".")[-1].startswith("snr") and counts[inside].any():
            images.append(image(_draw_scores(low[np.append(inside, inside[-1] + 1)], counts[inside], limits, name)))
    return images


def _draw_scores(edges: Any, numbers: Any, limits: Sequence[float], name: str) -> Any:
    word = "S/N" if name == "snr" else f"S/N ({name})"
    return lambda ax: plot_scores(edges, numbers, ax, thresholds=limits, name=word)


def _completeness(version: "Version") -> list[str]:
    if "completeness" not in version.tables:
        return []
    table = version.table("completeness")
    known = [name for name in QUANTITIES if (table["quantity"] == name).any()]
    return [image(_draw_completeness(table, name)) for name in known]


def _draw_completeness(table: Any, name: str) -> Any:
    return lambda ax: plot_completeness(table, ax, quantity=name)


def _thresholds(version: "Version") -> str:
    if "thresholds" not in version.tables or not len(version.thresholds):
        return ""
    return image(lambda ax: plot_thresholds(version.thresholds, ax))


def _rates(version: "Version") -> list[dict[str, Any]]:
    """Rates by S/N; none where nothing was injected."""
    try:
        table = version.completeness("snr").table
    except (ConfigError, StoreError, KeyError):
        return []
    return table.to_dict("records")  # type: ignore[no-any-return]


def _beside(lightcurve: Lightcurve, candidate: "Candidate", ax: "Axes") -> None:
    """The folded light curve of a periodic detection, else what is around the event."""
    if candidate["period"] > 0:
        plot_folded(lightcurve, candidate["period"], ax)
    else:
        plot_event(lightcurve, candidate, ax)
    legend = ax.get_legend()
    if legend is not None:
        legend.remove()


def _candidate(candidate: "Candidate") -> dict[str, object]:
    """A detection with what is known of it, and its plots; the reason where there is no light curve."""
    shown: dict[str, Any] = {
        "row": {key: value for key, value in candidate.items() if not (isinstance(value, float) and np.isnan(value))},
        "address": candidate.address, "images": [], "problem": "",
    }  # fmt: skip
    try:
        lightcurve = candidate.lightcurve
        shown["images"] = [
            image(lambda ax: plot_lightcurve(lightcurve, ax, detections=(candidate,)), width=7, height=2.6),
            image(lambda ax: _beside(lightcurve, candidate, ax), width=4, height=2.6),
        ]
    except (StoreError, DataError) as error:
        shown["problem"] = str(error)
    return shown
