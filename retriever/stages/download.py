"""The download stage: sources in, raw photometry out."""

from collections.abc import Sequence

from retriever.errors import ConfigError, DataError
from retriever.rawtable import RawPhotometry
from retriever.source import Source
from retriever.stages.attempt import Failure
from retriever.verbs import Observatory

__all__ = ["download"]


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
