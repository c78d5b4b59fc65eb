"""Spans of time as people write them."""

import re

from retriever.errors import ConfigError

__all__ = ["seconds_of"]

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds_of(text: str, where: str) -> float:
    """Seconds of a span such as ``30d``, ``12h`` or ``0d``.

    Raises
    ------
    ConfigError
        When the text is not a span of time.

    Examples
    --------
    >>> seconds_of("1.5d", "run.refresh")
    129600.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)", text.strip())
    if not match:
        raise ConfigError(f"{where} is {text!r}; write a number with s, min, h, d or w, as in {where}=30d")
    return float(match[1]) * _SECONDS[match[2]]
