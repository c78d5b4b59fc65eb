"""The scramble stage: the same search in light curves without events, to count its false alarms."""

import hashlib

import numpy as np

from retriever.attempt import Failure, attempt
from retriever.batch import Batch, Components, Made, select_batch
from retriever.detection import DETECTIONS, columns_of_records
from retriever.digests import digest_rows
from retriever.errors import ConfigError
from retriever.identity import random_stream
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet
from retriever.outcome import Outcome
from retriever.ragged import rows_of
from retriever.schema import Column, Columns, Table
from retriever.scores import with_scores
from retriever.stages.analyze import search_all

__all__ = ["FALSE_ALARMS", "is_none", "run"]

_TAKEN = ("lightcurve", "time_peak", "snr", "fap", "n_epochs", "amplitude", "width", "period", "sde", "finder")

FALSE_ALARMS = Table(
    name="false_alarms",
    columns=(
        Column(name="kind", kind=str, description="flipped (upside down) or shuffled (block bootstrap)"),
        *(spec for spec in DETECTIONS.columns if spec.name in _TAKEN),
    ),
    order=("kind", "lightcurve", "time_peak", "finder"),
)
"""What the search finds in light curves without events."""


def is_none(components: Components) -> bool:
    """Whether nothing is to be done."""
    return bool(components["scrambler"].share == 0)


def run(components: Components, batch: Batch) -> Made:
    """Search scrambled light curves of some of the sources of a batch; the others are empty."""
    made = Made.none(len(batch))
    share = components["scrambler"].share
    chosen = np.array([_share_of(batch.seed, name) < share for name in batch.items.tolist()], np.bool_)
    made.outcome[~chosen] = Outcome.EMPTY
    rows = np.flatnonzero(chosen)
    table = _none() if not rows.size else _all_at_once(components, batch, rows, made)
    made.tables = {"false_alarms": table}
    made.n_rows = np.bincount(table["source"], minlength=len(batch)).astype(np.int64)
    made.digest = np.where(made.outcome == Outcome.FAILED, b"", digest_rows(len(batch), table))
    return made


def _share_of(seed: int, name: str) -> float:
    """A number from 0 to 1 that a name has for a seed."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def _all_at_once(components: Components, batch: Batch, rows: np.ndarray, made: Made) -> Columns:
    chosen = select_batch(batch, rows)
    try:
        table = _searched(components, chosen)
        return {**table, "source": rows[table["source"]]}
    except ConfigError:
        raise
    except Exception:  # one after the other then, so that what is wrong stays with its source
        tables = [_none()]
        for k in rows.tolist():
            answer = attempt(f"scrambling {batch.items[k]}", _searched, components, select_batch(batch, np.array([k])))
            if isinstance(answer, Failure):
                made.fail(k, answer)
            else:
                tables.append({**answer, "source": np.full(answer["source"].size, k)})
        return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _searched(components: Components, batch: Batch) -> Columns:
    """False alarms of all sources of a batch."""
    scrambler = components["scrambler"]
    before, processed = with_scores(batch.inputs["lightcurves"], batch.inputs["scores"])
    detections = batch.inputs["detections"]["detections"]
    streams = [random_stream(batch.seed, "scramble", batch.observatory, name) for name in batch.items.tolist()]
    originals, judged = before.objects(len(batch)), processed.objects(len(batch))
    tables = []
    for kind in scrambler.kinds:
        fresh: list[list[Lightcurve]] = []
        for k, rng in enumerate(streams):
            own = []
            for original, scored in zip(originals[k], judged[k], strict=True):
                quiet = _quiet(scored, k, detections)
                mixed = scrambler.scramble(scored, kind, quiet, rng)
                changes = {name: getattr(mixed, name) for name in ("flux", "flux_err", "mag", "mag_err")}
                own.append(original.replace(**changes))
            fresh.append(own)
        found = search_all(components, batch.sources, LightcurveSet.of(fresh))[1]
        columns = {name: found[name] for name in ("source", *_TAKEN)}
        tables.append({**columns, "kind": np.full(found["source"].size, kind)})
    joined = {name: np.concatenate([table[name] for table in tables]) for name in _none()}
    order = np.argsort(joined["source"], kind="stable")
    return {name: values[order] for name, values in joined.items()}


def _quiet(lightcurve: Lightcurve, source: int, detections: Columns) -> np.ndarray:
    """Epochs outside all detections; those of periodic signals, which cover the light curve, do not count."""
    quiet = np.ones(lightcurve.n_epochs, np.bool_)
    first, count = rows_of(detections["source"], np.array([source]))
    for row in range(int(first[0]), int(first[0] + count[0])):
        if detections["lightcurve"][row] == lightcurve.number and np.isnan(detections["period"][row]):
            quiet[detections["first"][row] : detections["last"][row] + 1] = False
    return quiet


def _none() -> Columns:
    nothing = columns_of_records(DETECTIONS, [])
    columns: Columns = {"source": nothing["source"], "kind": np.zeros(0, "U8")}
    return columns | {spec.name: nothing[spec.name] for spec in FALSE_ALARMS.columns if spec.name in nothing}
