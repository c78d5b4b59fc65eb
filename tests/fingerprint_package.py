"""A small package with a search in it, and edits of its files that may and may not change a fingerprint."""

from pathlib import Path

FILES = {
    "fp_pack/__init__.py": '''
"""A package."""
from fp_pack.numbers import scale as rescale
''',
    "fp_pack/numbers.py": '''
"""Numbers."""
from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .deep import offset

if TYPE_CHECKING:
    from fp_pack.unused import Hidden

log = logging.getLogger("fp")

LIMIT = 3.0
LIMIT += 1.0
LOW, (HIGH, *REST) = 1, (2, 3)
typed: float = 0.5
UNUSED = 7
try:
    from fp_pack.fast import speed
except ImportError:
    speed = 1


class Sized(Protocol):
    size: int

    def measure(self, other: int) -> int: ...


def scale(values: np.ndarray, factor: float = 2.0) -> np.ndarray:
    """Scale values."""
    log.debug("scaling %d", len(values))
    count: int = len(values)
    if count > LIMIT:
        raise TooMany(f"there are {describe(values)}, " "too many", count)
    return values * factor + offset(LOW) + HIGH + typed + speed


def describe(values: np.ndarray) -> str:
    return f"{len(values)} values"


class TooMany(ValueError):
    """Too many values."""

    code = 4


def unused(x):
    return x + UNUSED
''',
    "fp_pack/deep.py": """
def offset(x):
    total = [y * STEP for y in range(x)]
    lonely = 5
    return sum(total) + lonely


STEP = 10
lonely = 100
range_of = 1
""",
    "fp_pack/unused.py": """
class Hidden:
    pass
""",
    "fp_pack/shapes.py": """
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Curve:
    time: float
    flux: float = 1.0

    @property
    def ratio(self) -> float:
        return self.flux / self.time


@lru_cache(maxsize=8)
def cached(n: int) -> int:
    return n + 1


def shown(x: Curve) -> str:
    return f"{x.ratio!r:>{8}}|{x.flux:.3f}" + "é" + str(1e-3) + str(2j) + str(b"b")
""",
    "fp_pack/registry.py": """
FILTERS = {}


def register(function):
    FILTERS[function.__name__] = function
    return function


@register
def smooth(x):
    return x / 2


class Base:
    kinds = []

    def __init_subclass__(cls):
        Base.kinds.append(cls)


class Special(Base):
    power = 3


def state():
    return _STATE


_STATE = 0


def set_state():
    global _STATE
    _STATE = 1
""",
    "fp_main.py": '''
"""The search."""
import fp_pack.shapes as shapes
import numpy as np
from fp_pack import rescale
from fp_pack.registry import FILTERS, Base, state
from fp_pack.shapes import Curve

np.seterr(all="ignore")
ORDER = 1
ORDER_COPY = ORDER


class Parent:
    bias = 1

    def shift(self, x):
        return x + self.bias


class Search(Parent):
    """Searches."""

    threshold: float = 5.0
    """What counts."""
    width: "int" = 3

    def find(self, curve: Curve, *, least: float = 0.0) -> list:
        # a remark
        def inner(offset):
            return offset + least

        import fp_lazy
        from fp_star import everything

        best = max(curve.ratio, shapes.cached(self.width))
        try:
            scaled = rescale(np.array([best]))
        except ValueError:
            return []
        assert best > 0, "a message"
        kinds = [kind.power for kind in Base.kinds]
        names = sorted(FILTERS) + [fp_lazy.late(1), everything, state(), ORDER_COPY, shapes.shown(curve)]
        return [inner(self.shift(scaled)), kinds, names, {**{}, "a": 1}]


class Alone:
    def find(self):
        return 1


if __name__ == "__main__":
    print(Search().find(None))
''',
    "fp_lazy.py": """
def late(n, /, *args, step=2, **more):
    match n:
        case [first, *_]:
            return first
        case {"k": value, **rest}:
            return value
        case None | True:
            return 0
    return n + (lambda k: k + step)(n)
""",
    "fp_star.py": """
from fp_constants import *
""",
    "fp_constants.py": """
everything = 42
other = 43
""",
}
"""Files of the package; `fp_main:Search` is the root."""

MAIN, NUMBERS, DEEP, SHAPES, REGISTRY = (
    "fp_main.py", "fp_pack/numbers.py", "fp_pack/deep.py", "fp_pack/shapes.py", "fp_pack/registry.py"
)  # fmt: skip

HARMLESS = [
    # words
    (MAIN, '"""The search."""', '"""Other words."""'),
    (MAIN, '"""The search."""', ""),
    (MAIN, '"""Searches."""', '"""Searches\n\n    well."""'),
    (MAIN, '    """What counts."""\n', ""),
    (MAIN, "# a remark", "# another"),
    (MAIN, "        # a remark\n", ""),
    (MAIN, '"a message"', '"another message"'),
    (NUMBERS, '"""Scale values."""', ""),
    (NUMBERS, '    """Too many values."""\n\n', ""),
    (DEEP, "def offset(x):\n", 'def offset(x):\n    "Says what it does."\n'),
    (DEEP, "STEP = 10", 'STEP = 10\n"""What it is."""'),
    (SHAPES, "    time: float\n", '    time: float\n    """In days."""\n'),
    # formatting
    (NUMBERS, "LIMIT = 3.0", "LIMIT = ( 3.0 )"),
    (NUMBERS, "LIMIT = 3.0", "LIMIT = 0.3e1"),
    (DEEP, "STEP = 10", "STEP = 1_0"),
    (DEEP, "STEP = 10", "STEP = 0xA"),
    (DEEP, "STEP = 10\n", "\n\n\nSTEP   =   10 ;\n"),
    (DEEP, "    return sum(total) + lonely", "    return (\n        sum(total)\n        + lonely\n    )"),
    (SHAPES, '"é"', '"\\u00e9"'),
    (SHAPES, '"é"', "'é'"),
    (SHAPES, 'str(b"b")', 'str(b"""b""")'),
    (SHAPES, "def cached(n: int) -> int:\n    return n + 1", "def cached(n: int) -> int: return n + 1"),
    (MAIN, '{**{}, "a": 1}', '{\n            **{},\n            "a": 1,\n        }'),
    (MAIN, "class Alone", "\n\n\n\nclass Alone"),
    # annotations
    (NUMBERS, "factor: float = 2.0", "factor = 2.0"),
    (NUMBERS, "factor: float = 2.0", "factor: int = 2.0"),
    (NUMBERS, "values: np.ndarray, factor", "values, factor"),
    (NUMBERS, "= 2.0) -> np.ndarray:", "= 2.0):"),
    (NUMBERS, "    count: int = len(values)", "    count = len(values)"),
    (NUMBERS, "    count: int = len(values)", "    count: float\n    count: float = len(values)"),
    (NUMBERS, "typed: float = 0.5", "typed = 0.5"),
    (SHAPES, "def cached(n: int) -> int", 'def cached(n: "int")'),
    (SHAPES, "def ratio(self) -> float", "def ratio(self)"),
    (DEEP, "def offset(x):", "def offset(x: int) -> int:"),
    (DEEP, "    lonely = 5", "    lonely: int = 5"),
    (MAIN, "least: float = 0.0) -> list:", "least: complex = 0.0) -> tuple:"),
    ("fp_lazy.py", "*args, step=2, **more", "*args: int, step: int = 2, **more: str"),
    # for type checkers
    (NUMBERS, "    from fp_pack.unused import Hidden", "    from fp_pack.unused import Hidden as H\n    X = 1"),
    (NUMBERS, "if TYPE_CHECKING:\n    from fp_pack.unused import Hidden\n", ""),
    (NUMBERS, "    size: int\n", "    size: int\n    shape: tuple\n"),
    (NUMBERS, "def measure(self, other: int) -> int: ...", "def measured(self) -> float: ..."),
    (NUMBERS, "class Sized(Protocol)", "class Bigger(Protocol):\n    x: int\n\n\nclass Sized(Protocol)"),
    (NUMBERS, "values: np.ndarray, factor", "values: Sized, factor"),
    # what is not reached
    (NUMBERS, "UNUSED = 7", "UNUSED = 8"),
    (NUMBERS, "UNUSED = 7\n", ""),
    (NUMBERS, "return x + UNUSED", "return x - UNUSED"),
    (NUMBERS, "def unused(x):", "def renamed(x):"),
    (NUMBERS, "def unused(x):\n    return x + UNUSED\n", ""),
    (NUMBERS, "class TooMany", "class TooFew(ValueError):\n    code = 5\n\n\nclass TooMany"),
    (NUMBERS, '    return f"{len(values)} values"', "    return 'many values'"),  # only in a message
    (NUMBERS, 'def describe(values: np.ndarray) -> str:\n    return f"{len(values)} values"\n', ""),
    (DEEP, "lonely = 100", "lonely = 101"),  # hidden by a local name
    (DEEP, "lonely = 100\n", ""),
    (DEEP, "range_of = 1", "range_of = 2\nanother = 3"),
    ("fp_pack/unused.py", "pass", "x = 1"),
    ("fp_pack/unused.py", "class Hidden", "class Renamed"),
    (MAIN, "        return 1\n", "        return 2\n"),
    (MAIN, "class Alone:", "class Lone:"),
    (MAIN, "    print(Search().find(None))", "    print(1)"),
    (MAIN, 'if __name__ == "__main__":\n    print(Search().find(None))', ""),
    (MAIN, "import numpy as np\n", "import os\nimport numpy as np\nimport fp_pack.unused\n"),
    (DEEP, "STEP = 10", "import json\n\nSTEP = 10"),
    # messages
    (NUMBERS, "there are {describe(values)}", "{describe(values)} is far"),
    (NUMBERS, 'f"there are {describe(values)}, " "too many"', '"too many"'),
    (NUMBERS, 'f"there are {describe(values)}, " "too many"', 'f"too many: {values!r} {UNUSED}"'),
    (NUMBERS, 'f"there are {describe(values)}, " "too many"', '"too many" + f"{values}"'),
    (NUMBERS, 'log.debug("scaling %d", len(values))', 'log.info("scaling")'),
    (NUMBERS, '    log.debug("scaling %d", len(values))\n', ""),
    (NUMBERS, "    count: int", '    logging.warning("x")\n    count: int'),
    (NUMBERS, 'logging.getLogger("fp")', 'logging.getLogger("other")'),
    # another way to the same definition
    (MAIN, "from fp_pack import rescale", "from fp_pack.numbers import scale as rescale"),
    (MAIN, "import fp_pack.shapes as shapes", "from fp_pack import shapes"),
    (DEEP, "    return sum(total) + lonely", "    pass\n    return sum(total) + lonely"),
]
"""Edits, as file, old and new text, that change no result."""

REAL = [
    # constants
    (NUMBERS, "LIMIT = 3.0", "LIMIT = 3.5"),
    (NUMBERS, "LIMIT = 3.0", "LIMIT = 3"),
    (NUMBERS, "LIMIT += 1.0", "LIMIT += 2.0"),
    (NUMBERS, "LIMIT += 1.0\n", ""),
    (NUMBERS, "LIMIT += 1.0", "LIMIT += 1.0\nLIMIT = 9"),
    (NUMBERS, "LIMIT = 3.0\nLIMIT += 1.0", "LIMIT = 4.0\nLIMIT = 3.0"),
    (NUMBERS, "LOW, (HIGH, *REST) = 1, (2, 3)", "LOW, (HIGH, *REST) = 1, (3, 3)"),
    (NUMBERS, "LOW, (HIGH, *REST) = 1, (2, 3)", "LOW, (*REST, HIGH) = 1, (2, 3)"),
    (NUMBERS, "typed: float = 0.5", "typed: float = 0.6"),
    (NUMBERS, "    speed = 1\n", "    speed = 2\n"),
    (NUMBERS, "except ImportError:\n    speed", "except Exception:\n    speed"),
    (NUMBERS, "from fp_pack.fast import speed", "from fp_pack.deep import STEP as speed"),
    (NUMBERS, "UNUSED = 7", "UNUSED = 7\nif UNUSED:\n    LIMIT = 1"),
    (NUMBERS, "UNUSED = 7", "UNUSED = 7\nfor LIMIT in (1, 2):\n    pass"),
    (DEEP, "STEP = 10", "STEP = 11"),
    (DEEP, "STEP = 10", "STEP = 10.0"),
    (DEEP, "STEP = 10", "STEP = -10"),
    (DEEP, "STEP = 10", "STEP = True"),
    ("fp_constants.py", "everything = 42", "everything = 41"),
    ("fp_constants.py", "everything = 42", "from fp_pack.deep import STEP as everything"),
    ("fp_star.py", "import *", "import other as everything"),
    # code
    (NUMBERS, "values * factor", "values / factor"),
    (NUMBERS, "count > LIMIT", "count >= LIMIT"),
    (NUMBERS, "offset(LOW)", "offset(HIGH)"),
    (NUMBERS, "factor: float = 2.0", "factor: float = 2.5"),
    (NUMBERS, "factor: float = 2.0", "factor: float"),
    (NUMBERS, "def scale(values: np.ndarray, factor", "def scale(values: np.ndarray, /, factor"),
    (DEEP, "    lonely = 5\n", "    lonely = 6\n"),
    (DEEP, "    lonely = 5\n", ""),  # now the one of the module
    (DEEP, "for y in range(x)", "for y in range(x) if y"),
    (DEEP, "sum(total)", "max(total)"),
    (DEEP, "def offset(x):", "def sum(x):\n    return 0\n\n\ndef offset(x):"),  # hides the builtin
    (DEEP, "def offset(x):", "from math import fsum as sum\n\n\ndef offset(x):"),
    (DEEP, "def offset(x):", "async def offset(x):"),
    (DEEP, "def offset(x):", "@staticmethod\ndef offset(x):"),
    (DEEP, "return sum(total) + lonely", "return lonely + sum(total)"),
    (DEEP, "    total = [y * STEP for y in range(x)]\n    lonely = 5\n", "    lonely = 5\n    total = [y * STEP for y in range(x)]\n"),
    (SHAPES, "maxsize=8", "maxsize=9"),
    (SHAPES, "@lru_cache(maxsize=8)\n", ""),
    (SHAPES, "frozen=True", "frozen=False"),
    (SHAPES, "@dataclass(frozen=True)\n", ""),
    (SHAPES, "    time: float\n", "    time: int\n"),
    (SHAPES, "    time: float\n    flux: float = 1.0", "    flux: float\n    time: float = 1.0"),
    (SHAPES, "    flux: float = 1.0", "    flux: float = 2.0"),
    (SHAPES, "    flux: float = 1.0", "    flux: float = 1.0\n    error: float = 0.0"),
    (SHAPES, "self.flux / self.time", "self.time / self.flux"),  # known by an annotation alone
    (SHAPES, "    @property\n", ""),
    (SHAPES, "!r:>{8}", "!s:>{8}"),
    (SHAPES, ":>{8}", ":>{9}"),
    (SHAPES, ":.3f", ":.4f"),
    (SHAPES, "}|{", "}/{"),
    (SHAPES, "1e-3", "1e-4"),
    (SHAPES, "2j", "3j"),
    (SHAPES, 'b"b"', '"b"'),
    (SHAPES, '"é"', '"e"'),
    ("fp_lazy.py", "step=2", "step=3"),
    ("fp_lazy.py", "k + step", "k - step"),
    ("fp_lazy.py", "[first, *_]", "[*_, first]"),
    ("fp_lazy.py", '{"k": value, **rest}', '{"l": value, **rest}'),
    ("fp_lazy.py", "None | True", "None | False"),
    # classes
    (MAIN, "    threshold: float = 5.0", "    threshold: float = 6.0"),
    (MAIN, "    threshold: float = 5.0", "    limit: float = 5.0"),
    (MAIN, 'width: "int" = 3', 'width: "float" = 3'),  # a base class may look at it
    (MAIN, "class Search(Parent)", "class Search(Parent, dict)"),
    (MAIN, "class Search(Parent)", "class Search"),
    (MAIN, "    bias = 1", "    bias = 2"),
    (MAIN, "return x + self.bias", "return x - self.bias"),
    (MAIN, "least: float = 0.0", "least: float = 1.0"),
    (MAIN, "return offset + least", "return offset - least"),
    (MAIN, "class Alone:", "class Parent:\n    bias = 9\n\n\nclass Alone:"),
    (NUMBERS, "    code = 4", "    code = 5"),
    (NUMBERS, "class TooMany(ValueError)", "class TooMany(KeyError)"),
    # exceptions
    (NUMBERS, "raise TooMany(", "raise ValueError("),
    (NUMBERS, '"too many", count)', '"too many", LIMIT)'),
    (NUMBERS, '"too many", count)', '"too many")'),
    (MAIN, "except ValueError", "except TypeError"),
    (MAIN, "assert best > 0", "assert best >= 0"),
    # names that mean something else
    (MAIN, "from fp_pack import rescale", "from fp_pack.deep import offset as rescale"),
    (MAIN, "import numpy as np", "import math as np"),
    (MAIN, "import fp_pack.shapes as shapes", "import fp_pack.deep as shapes\nshapes.cached = shapes.shown = abs"),
    (MAIN, "from fp_pack.registry import FILTERS, Base, state", "from fp_pack.registry import FILTERS, Base\nstate = int"),
    (MAIN, "def inner(offset):", "from fp_pack.deep import offset as max\n        def inner(offset):"),
    ("fp_pack/__init__.py", "from fp_pack.numbers import scale as rescale", "from fp_pack.numbers import unused as rescale"),
    ("fp_pack/__init__.py", "from fp_pack.numbers import scale as rescale", "def rescale(x):\n    return x"),
    (NUMBERS, "from .deep import offset", "from .deep import range_of as offset"),
    (NUMBERS, "from .deep import offset", "from .deep import offset\n\n\ndef len(x):\n    return 0"),
    # what runs when a module is loaded
    (MAIN, 'np.seterr(all="ignore")', 'np.seterr(all="raise")'),
    (MAIN, 'np.seterr(all="ignore")\n', ""),
    (MAIN, 'np.seterr(all="ignore")\nORDER = 1\n', 'ORDER = 1\nORDER = 2\nnp.seterr(all="ignore")\n'),
    (MAIN, "ORDER = 1\nORDER_COPY = ORDER\n", "ORDER = 1\nORDER_COPY = ORDER\nORDER = 2\n"),
    (MAIN, 'np.seterr(all="ignore")', 'import fp_pack.numbers\nfp_pack.numbers.LIMIT = 0\nnp.seterr(all="ignore")'),
    (MAIN, "class Alone:", "setattr(Search, 'width', 9)\n\n\nclass Alone:"),
    (MAIN, "class Alone:", "Search.width = 9\n\n\nclass Alone:"),
    (MAIN, "class Alone:", "del Parent.bias\n\n\nclass Alone:"),
    (DEEP, "range_of = 1", "old = __builtins__.update(sum=max)\nprint(1)"),
    (DEEP, "STEP = 10", "import sys\nif sys.platform:\n    STEP = 9\nelse:\n    STEP = 10"),
    # what makes itself known
    (REGISTRY, "return x / 2", "return x / 3"),
    (REGISTRY, "@register\ndef smooth", "def smooth"),
    (REGISTRY, "@register\ndef smooth", "@register\ndef rough(x):\n    return x\n\n\n@register\ndef smooth"),
    (REGISTRY, "    power = 3", "    power = 4"),
    (REGISTRY, "class Special(Base)", "class Other(Base):\n    power = 1\n\n\nclass Special(Base)"),
    (REGISTRY, "    _STATE = 1", "    _STATE = 2"),
    (REGISTRY, "_STATE = 0", "_STATE = 5"),
]  # fmt: skip
"""Edits that may change a result."""


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def edited(edit: tuple[str, str, str]) -> dict[str, str]:
    """The files after an edit, which must change one place."""
    name, old, new = edit
    assert FILES[name].count(old) >= 1, edit
    return {**FILES, name: FILES[name].replace(old, new, 1)}
