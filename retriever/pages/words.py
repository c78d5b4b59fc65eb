"""Numbers and texts as pages show them."""

import math

__all__ = ["number", "shorter"]


def number(value: object) -> str:
    """A number with as many digits as say something; a dash where there is none.

    Examples
    --------
    >>> number(0.123456), number(1234567), number(float("nan")), number(None), number("r")
    ('0.1235', '1,234,567', '–', '–', 'r')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if not 1e4 <= abs(value) < 1e7 else f"{value:.4f}"


def shorter(text: object, length: int = 80) -> str:
    """A text cut to a length.

    Examples
    --------
    >>> shorter("abcdef", 4)
    'abc…'
    """
    whole = str(text)
    return whole if len(whole) <= length else f"{whole[: length - 1]}…"
