"""Keeping what goes wrong with one source with that source."""

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from retriever.errors import ConfigError, RetrieverError

__all__ = ["Failure", "attempt"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

log = logging.getLogger("retriever")


class Failure:
    """What went wrong with one source, in a sentence."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        known = isinstance(error, RetrieverError | OSError)
        text = " ".join(str(error).split())
        self.message = text if known and text else f"{type(error).__name__}: {text}"

    def __repr__(self) -> str:
        return f"Failure({self.message!r})"


def attempt(
    what: str, method: Callable[Parameters, Result], *arguments: Parameters.args, **keywords: Parameters.kwargs
) -> "Result | Failure":
    """Call a component's method; what it raises becomes a failure of this source alone.

    Examples
    --------
    >>> attempt("dividing", lambda x: 1 / x, 0)
    Failure('ZeroDivisionError: division by zero')
    """
    try:
        return method(*arguments, **keywords)
    except ConfigError:
        raise
    except Exception as error:  # a component is other people's code: whatever it raises, the others go on
        log.debug("%s failed", what, exc_info=True)
        return Failure(error)
