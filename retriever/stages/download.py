"""The download stage: sources in, raw photometry out."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from retriever.attempt import Failure
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError, DataError
from retriever.interfaces import BatchObservatory, Observatory
from retriever.outcome import Outcome
from retriever.rawbatch import RawAnswers, digest_raw, pack_raw
from retriever.rawtable import RawPhotometry
from retriever.schema import Column, Columns, Table
from retriever.source import Source

__all__ = ["RAW_INDEX", "download", "run"]

RAW_INDEX = Table(
    name="raw_index",
    columns=(
        Column(name="n_tables", kind=int, description="tables of the survey's answer"),
        Column(name="n_rows", kind=int, description="rows of all of them"),
        Column(name="provenance", kind=str, description="where, how and when it was asked, as JSON"),
        Column(name="aliases", kind=str, description="other names that the archive knows, as JSON", default="[]"),
    ),
    exported=False,
)


def run(components: Components, batch: Batch) -> Made:
    """Fetch the raw photometry of a batch of sources."""
    observatory: Observatory = components["observatory"]
    fetched = datetime.now(UTC).isoformat(timespec="milliseconds")
    made = Made.none(len(batch))
    if isinstance(observatory, BatchObservatory):
        answers = observatory.fetch_many(batch.sources)
        aliases: Sequence[tuple[str, ...]] = [()] * len(batch)
    else:
        answers, aliases = _one_by_one(observatory, batch)
    for item, error in answers.failures.items():
        made.fail(item, Failure(error))
    known = np.flatnonzero(made.outcome == Outcome.DONE)
    raw = answers.tables["raw"]
    made.n_rows = np.bincount(raw["source"], raw["n_rows"], len(batch)).astype(np.int64)
    made.outcome[known[made.n_rows[known] == 0]] = Outcome.EMPTY
    made.digest[known] = digest_raw(answers.tables, len(batch))[known]
    index: Columns = {
        "source": known,
        "n_tables": np.bincount(raw["source"], minlength=len(batch))[known],
        "n_rows": made.n_rows[known],
        "provenance": np.array([_text({"fetched": fetched, **answers.provenance[k]}) for k in known.tolist()], np.str_),
        "aliases": np.array([json.dumps(aliases[k]) for k in known.tolist()], np.str_),
    }
    made.tables = {"raw_index": index, **answers.tables}
    return made


def _text(provenance: dict[str, str]) -> str:
    return json.dumps(provenance, sort_keys=True)


def _one_by_one(observatory: Observatory, batch: Batch) -> tuple[RawAnswers, list[tuple[str, ...]]]:
    answers = download(observatory, [batch.sources.source(row) for row in range(len(batch))])
    known = [None if isinstance(answer, Failure) else answer for answer in answers]
    columns = RawAnswers(
        tables=pack_raw(known),
        provenance=[{} if answer is None else answer.provenance for answer in known],
        failures={k: answer.error for k, answer in enumerate(answers) if isinstance(answer, Failure)},
    )
    return columns, [() if answer is None else answer.aliases for answer in known]


def download(observatory: Observatory, sources: Sequence[Source]) -> list[RawPhotometry | Failure]:
    """Fetch a batch of sources; one answer or failure each, in their order."""
    answers: list[RawPhotometry | Failure] = []
    broken: Exception = DataError(f"the observatory of {observatory.survey} gave fewer answers than it was asked for")
    try:
        for answer in observatory.fetch(sources):
            if isinstance(answer, ConfigError):
                raise answer
            answers.append(answer if isinstance(answer, RawPhotometry) else Failure(_error(answer)))
    except ConfigError:
        raise
    except Exception as error:  # the observatory itself broke: those it answered before are kept
        broken = error
    missing = len(sources) - len(answers)
    return answers[: len(sources)] + [Failure(broken)] * max(missing, 0)


def _error(answer: object) -> Exception:
    if isinstance(answer, Exception):
        return answer
    return DataError(f"the observatory gave a {type(answer).__name__} where it should give RawPhotometry")
