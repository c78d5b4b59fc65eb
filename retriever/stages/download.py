"""The download stage: sources in, raw photometry out."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from retriever.attempt import Failure
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError, DataError
from retriever.interfaces import Observatory
from retriever.outcome import Outcome
from retriever.rawbatch import pack_raw
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
    sources = [batch.sources.source(row) for row in range(len(batch))]
    answers = download(components["observatory"], sources)
    fetched = datetime.now(UTC).isoformat(timespec="milliseconds")
    made = Made.none(len(batch))
    kept: list[RawPhotometry | None] = []
    for k, answer in enumerate(answers):
        if isinstance(answer, Failure):
            made.fail(k, answer)
            kept.append(None)
            continue
        kept.append(answer)
        made.outcome[k] = Outcome.EMPTY if answer.is_empty else Outcome.DONE
        made.n_rows[k], made.digest[k] = answer.n_rows, answer.digest().encode()
    made.tables = {"raw_index": _index(kept, fetched), **pack_raw(kept)}
    return made


def _index(answers: Sequence[RawPhotometry | None], fetched: str) -> Columns:
    known = [(k, answer) for k, answer in enumerate(answers) if answer is not None]
    provenance = [json.dumps({"fetched": fetched, **answer.provenance}, sort_keys=True) for _, answer in known]
    return {
        "source": np.array([k for k, _ in known], np.int64),
        "n_tables": np.array([len(answer.tables) for _, answer in known], np.int64),
        "n_rows": np.array([answer.n_rows for _, answer in known], np.int64),
        "provenance": np.array(provenance, np.str_),
        "aliases": np.array([json.dumps(answer.aliases) for _, answer in known], np.str_),
    }


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
