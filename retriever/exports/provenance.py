"""Where a version comes from, in the words of W3C PROV (https://www.w3.org/TR/prov-dm/), as PROV-JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import retriever

if TYPE_CHECKING:
    from retriever.api.version import Version

__all__ = ["provenance"]


def provenance(version: "Version") -> dict[str, Any]:
    """Entities, activities and agents of a version, and what led from one to the other.

    The entities are the version, its config, the catalog, the surveys, and each of its tables; the activities its runs;
    the agent is retriever at the commits of the version.

    Returns
    -------
    dict
        PROV-JSON (https://www.w3.org/submissions/prov-json/).

    Raises
    ------
    StoreError
        When the version has no manifest.
    """
    manifest = version.manifest
    inputs, name = manifest["inputs"], version.name
    this, software = f"version:{name}", "software:retriever"
    entities: dict[str, Any] = {
        this: {"prov:type": "prov:Collection", "retriever:hash": manifest["hash"]},
        f"version:{name}/config": {"prov:type": "prov:Plan", "prov:location": "config.yaml"},
        f"catalog:{inputs['catalog']['digest']}": {
            "retriever:class": inputs["catalog"]["class"], "retriever:digest": inputs["catalog"]["digest"],
        },
    }  # fmt: skip
    for observatory, node in inputs["observatories"].items():
        entities[f"survey:{observatory}"] = {
            "retriever:class": node["class"], "retriever:survey": str(node["fields"].get("survey", observatory)),
        }  # fmt: skip
    tables = [f"version:{name}/{table}" for table in version.tables]
    entities |= {table: {"prov:location": f"{table.rpartition('/')[2]}.parquet"} for table in tables}
    sources = [key for key in entities if key.startswith(("catalog:", "survey:"))]
    runs = _runs(version)
    activities = {
        f"run:{run['run']}": {
            "retriever:state": run.get("state", ""), "retriever:seconds": run.get("seconds", 0.0),
            "retriever:environment": json.dumps(run.get("environment", {}), sort_keys=True),
        }
        for run in runs
    }  # fmt: skip
    commits = {f"retriever:commit of {place}": commit for place, commit in inputs["commits"].items() if commit}
    agents = {software: {"prov:type": "prov:SoftwareAgent", "retriever:release": retriever.__version__, **commits}}
    return {
        "prefix": {
            key: f"urn:retriever:{key}:" for key in ("version", "catalog", "survey", "run", "software", "retriever")
        },
        "entity": entities,
        "activity": activities,
        "agent": agents,
        "used": _relations("used", "prov:activity", activities, "prov:entity", [*sources, f"version:{name}/config"]),
        "wasGeneratedBy": _relations("generated", "prov:activity", activities, "prov:entity", tables),
        "wasAssociatedWith": _relations("by", "prov:activity", activities, "prov:agent", [software]),
        "wasDerivedFrom": _relations("derived", "prov:usedEntity", sources, "prov:generatedEntity", [this]),
        "hadMember": _relations("member", "prov:entity", tables, "prov:collection", [this]),
    }


def _relations(word: str, one: str, ones: Any, other: str, others: list[str]) -> dict[str, Mapping[str, str]]:
    pairs = [(a, b) for a in ones for b in others]
    return {f"_:{word}{k}": {one: a, other: b} for k, (a, b) in enumerate(pairs)}


def _runs(version: "Version") -> list[dict[str, Any]]:
    """Summaries of the runs of a version, in the order of their names, which begin with their times."""
    summaries = []
    for path in sorted(Path(version.folder).glob("runs/*/summary.json")):
        try:
            summaries.append({**json.loads(path.read_text(encoding="utf-8")), "run": path.parent.name})
        except (OSError, ValueError):
            continue
    return summaries
