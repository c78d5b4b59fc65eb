"""Running a saved version again, and saying where code, environment or data differ from what they were."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retriever.config import Config
from retriever.errors import StoreError
from retriever.pipeline.run_summary import RunSummary
from retriever.pipeline.session import run_config
from retriever.pipeline.version import environment
from retriever.report.parameters import NOT_COMPARABLE, changed_modules, code_of_version, differing, is_comparable
from retriever.report.versions import VersionFolder

__all__ = ["rerun"]


def rerun(saved: VersionFolder, config: Config, verbose: bool = False) -> tuple[RunSummary, list[str]]:
    """Run a saved version again, with its config or a changed one.

    Parameters
    ----------
    saved
        The version's folder.
    config
        Its config, perhaps with overrides on top.

    Returns
    -------
    summary
        Of the run.
    differences
        Sentences that say what is not as it was; none when all is.
    """
    before, raw_before = dict(saved.manifest), _raw_digests(saved)
    summary = run_config(config, verbose)
    now = VersionFolder(Path(summary.folder))
    return summary, [*_differences(before, now), *_data(raw_before, _raw_digests(now))]


def _differences(before: Mapping[str, Any], now: VersionFolder) -> list[str]:
    sentences = [
        f"commit of {name}: {old[:12] or 'none'} → {new[:12] or 'none'}"
        for name, old in before["inputs"]["commits"].items()
        if (new := now.manifest["inputs"]["commits"].get(name, "")) != old
    ]
    hashes = code_of_version(before), code_of_version(now.manifest)
    sentences += [f"code of {module} differs" for module in changed_modules(*hashes)]
    sentences += [] if is_comparable(*hashes) else [NOT_COMPARABLE]
    old, new = before.get("environment", {}), environment()
    sentences += [f"environment: {key} {old.get(key)} → {new.get(key)}" for key in differing([old, new])]
    return sentences


def _raw_digests(version: VersionFolder) -> dict[tuple[str, str], str]:
    try:
        table = version.table("products", ["source", "observatory", "stage", "digest"])
    except StoreError:
        return {}
    raw = table["stage"] == "download"
    keys = zip(table["observatory"][raw].tolist(), table["source"][raw].tolist(), strict=True)
    return dict(zip(keys, table["digest"][raw].tolist(), strict=True))


def _data(before: Mapping[tuple[str, str], str], now: Mapping[tuple[str, str], str]) -> list[str]:
    both = before.keys() & now.keys()
    changed = sum(before[key] != now[key] for key in both)
    return [f"raw data of {changed} sources differs"] if changed else []
