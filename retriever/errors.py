"""Everything retriever raises on purpose.

    RetrieverError
    ├── ConfigError        the config or the command line is wrong                 exit code 2
    ├── CatalogError       the catalog cannot be used                              exit code 2
    ├── DataError          one source's data cannot be used: that source *fails*
    │   ├── FileFormatError    a file is broken or is not what it says
    │   └── FetchError         an archive did not answer, or answered with an error
    │       └── AnswerCut          it answered with no more rows than it allows at once
    ├── StoreError         data, outputs or the database cannot be used            exit code 1
    │   ├── SegmentError       a segment is missing, altered or of another format
    │   ├── NotMade            a stage failed for the source, or was not run yet
    │   ├── SchemaError        the database was made by a newer retriever
    │   └── LeaseLost          another run took over what this run was making
    └── AbortedRun         too many sources failed; the run stopped                exit code 3

The text of each is one sentence that says what is wrong, where, and what to do about it.
"""

__all__ = [
    "AbortedRun",
    "AnswerCut",
    "CatalogError",
    "ConfigError",
    "DataError",
    "FetchError",
    "FileFormatError",
    "LeaseLost",
    "NotMade",
    "RetrieverError",
    "SchemaError",
    "SegmentError",
    "StoreError",
    "nearest",
]

from collections.abc import Iterable


class RetrieverError(Exception):
    """Base of all errors that retriever raises on purpose."""

    exit_code = 1


class ConfigError(RetrieverError):
    """The config or the command line is wrong."""

    exit_code = 2


class CatalogError(RetrieverError):
    """The catalog cannot be used."""

    exit_code = 2


class DataError(RetrieverError):
    """One source's data cannot be used; the source fails and the others go on."""


class FileFormatError(DataError):
    """A file is broken, or is not what it says it is."""


class FetchError(DataError):
    """An archive did not answer, or answered with an error.

    Attributes
    ----------
    passing
        Whether the same question may have an answer a little later.
    after_seconds
        When to ask again, where the archive said so.
    status
        HTTP status; 0 where there was none.
    """

    def __init__(
        self, text: str, *, passing: bool = False, after_seconds: float | None = None, status: int = 0
    ) -> None:
        super().__init__(text)
        self.passing, self.after_seconds, self.status = passing, after_seconds, status


class AnswerCut(FetchError):
    """An archive cut its answer at its limit of rows."""


class StoreError(RetrieverError):
    """Data, outputs or the database cannot be read or written."""


class SegmentError(StoreError):
    """A segment is missing, altered, or of a format this retriever cannot read."""


class NotMade(StoreError):
    """A source has no product of a stage, because it failed, waits for another, or was not run yet."""


class SchemaError(StoreError):
    """The database was made by a newer retriever."""


class LeaseLost(StoreError):
    """Another run took over the stage that this run was making."""


class AbortedRun(RetrieverError):
    """Too many sources failed, so that going on would be of no use."""

    exit_code = 3


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word a wrong one was probably meant to be.

    Examples
    --------
    >>> nearest("snr_treshold", ["snr_threshold", "sideband"])
    "; did you mean 'snr_threshold'?"
    >>> nearest("x", ["snr_threshold", "sideband"])
    ' (known: sideband, snr_threshold)'
    """
    import difflib

    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f" (known: {', '.join(words)})" if words else ""
