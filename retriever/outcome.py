"""What became of a source in a stage."""

from enum import IntEnum

__all__ = ["Outcome"]


class Outcome(IntEnum):
    """What became of a source in a stage. The numbers are those of the database and the segments."""

    DONE = 0
    EMPTY = 1
    """The survey has no data, or nothing was left of it: an answer, not a failure."""
    FAILED = 2
    BLOCKED = 3
    """A stage upstream failed."""
    PENDING = 4
