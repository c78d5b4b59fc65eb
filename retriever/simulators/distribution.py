"""Distributions that parameters of simulated events are drawn from."""

from dataclasses import dataclass

import numpy as np

from retriever.errors import ConfigError

__all__ = ["Distribution"]

_KINDS = ("uniform", "loguniform", "powerlaw", "normal", "fixed", "grid")


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution of one parameter.

    Parameters
    ----------
    kind
        "uniform", "loguniform" or "powerlaw" over [low, high]; "normal", cut to [low, high]; "fixed" (always `low`);
        "grid" (one of `values`, all as often).
    low, high
        The limits.
    index
        Of a power law: its density is proportional to the parameter to this power.
    mean, sigma
        Of a normal distribution.
    values
        Of a grid.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> Distribution(kind="fixed", low=3.0).draw(rng)
    3.0
    >>> 1.0 <= Distribution(kind="powerlaw", low=1.0, high=100.0, index=-2.0).draw(rng) <= 100.0
    True
    """

    kind: str = "uniform"
    low: float = 0.0
    high: float = 1.0
    index: float = 0.0
    mean: float = 0.0
    sigma: float = 1.0
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConfigError(f"a distribution's kind is {self.kind!r}; it is one of {', '.join(_KINDS)}")
        if self.kind not in ("fixed", "grid") and not self.high >= self.low:
            raise ConfigError(f"a distribution runs from {self.low:g} to {self.high:g}; give low <= high")
        if self.kind in ("loguniform", "powerlaw") and not self.low > 0:
            raise ConfigError(f"a {self.kind} distribution starts at {self.low:g}; it must start above zero")
        if self.kind == "normal" and not (self.sigma > 0 and self._share_inside() > 1e-3):
            raise ConfigError(
                "a normal distribution needs a sigma above zero, and at least a thousandth of it between low and high"
            )
        if self.kind == "grid" and not self.values:
            raise ConfigError("a grid needs values")

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        if self.kind == "fixed":
            return self.low
        share = rng.random()
        if self.kind == "grid":
            return float(self.values[int(share * len(self.values))])
        if self.kind == "normal":
            return self._normal_at(share)
        if self.kind == "loguniform" or (self.kind == "powerlaw" and self.index == -1.0):
            return float(self.low * (self.high / self.low) ** share)
        if self.kind == "powerlaw":
            power = self.index + 1.0
            return float((self.low**power + share * (self.high**power - self.low**power)) ** (1.0 / power))
        return self.low + (self.high - self.low) * share

    def _limits(self) -> tuple[float, float]:
        """Shares of the normal distribution below the limits."""
        from scipy.special import ndtr

        return float(ndtr((self.low - self.mean) / self.sigma)), float(ndtr((self.high - self.mean) / self.sigma))

    def _share_inside(self) -> float:
        below, upto = self._limits()
        return upto - below

    def _normal_at(self, share: float) -> float:
        from scipy.special import ndtri

        below, upto = self._limits()
        return float(np.clip(self.mean + self.sigma * ndtri(below + share * (upto - below)), self.low, self.high))
