"""Distributions that parameters of simulated events are drawn from."""

from dataclasses import dataclass

import numpy as np

from retriever.errors import ConfigError

__all__ = ["Distribution"]


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution over [low, high].

    Parameters
    ----------
    kind
        "uniform", "loguniform", or "fixed" (always `low`).
    low, high
        The limits.

    Examples
    --------
    >>> Distribution(kind="fixed", low=3.0).draw(np.random.default_rng(1))
    3.0
    """

    kind: str = "uniform"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("uniform", "loguniform", "fixed"):
            raise ConfigError(f"a distribution's kind is {self.kind!r}; it is uniform, loguniform or fixed")
        if self.kind != "fixed" and not self.high >= self.low:
            raise ConfigError(f"a distribution runs from {self.low:g} to {self.high:g}; give low <= high")
        if self.kind == "loguniform" and not self.low > 0:
            raise ConfigError(f"a loguniform distribution starts at {self.low:g}; it must start above zero")

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        if self.kind == "fixed":
            return self.low
        share = rng.random()
        if self.kind == "loguniform":
            return float(self.low * (self.high / self.low) ** share)
        return self.low + (self.high - self.low) * share
