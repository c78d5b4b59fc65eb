"""Columns of tables, declared once: the SQL model, Parquet files, units and documentation are made of them.

A table that gains a column gives it a default: that is what rows of files written before have in it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from retriever.arrays import Array
from retriever.errors import StoreError

__all__ = ["NUMPY_KINDS", "REQUIRED", "Column", "Columns", "Table", "Tables", "column", "table_of"]

Columns = dict[str, Array]
"""Columns of one length by name."""

Tables = dict[str, Columns]
"""Tables by name, as they lie in a segment."""


class _Required(Enum):
    REQUIRED = "required"


REQUIRED = _Required.REQUIRED
"""Default of a column that every file has."""

NUMPY_KINDS: Mapping[type, type[np.generic]] = {int: np.int64, float: np.float64, bool: np.bool_, str: np.str_}
"""How columns of a kind are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name, kind
        Its name, and the type of its values: int, float, bool or str.
    unit
        "" where it has none.
    description
        What it means.
    default
        What rows of files have that were written before the column was there.
    """

    name: str
    kind: type
    unit: str = ""
    description: str = ""
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of products: a row a source, a light curve or an event. Its rows name their source in `source`.

    Attributes
    ----------
    name
        Of the table in segments, in the database and among the Parquet files of a version.
    columns
        Its columns.
    order
        Columns by which rows of one source are sorted.
    extensible
        Whether rows may have further columns, which are not declared: those are kept as JSON in the database.
    exported
        Whether versions have it as a Parquet file.

    Examples
    --------
    >>> table = Table(name="nights", columns=(Column(name="night", kind=int, unit="d"),), order=("night",))
    >>> table.units
    {'night': 'd'}
    """

    name: str
    columns: tuple[Column, ...]
    order: tuple[str, ...] = ()
    extensible: bool = False
    exported: bool = True

    @property
    def units(self) -> dict[str, str]:
        """Units of the columns that have one."""
        return {spec.name: spec.unit for spec in self.columns if spec.unit}

    @property
    def signature(self) -> list[object]:
        """What rows of a table have in common: names and types of the columns; plain data."""
        return [self.name, self.extensible, [[spec.name, spec.kind.__name__] for spec in self.columns]]

    def completed(self, columns: Mapping[str, Array], n: int) -> Columns:
        """The declared columns, with defaults for those that an older file does not have.

        Raises
        ------
        StoreError
            When a column is missing that has no default.
        """
        complete: Columns = {}
        for spec in self.columns:
            if spec.name in columns:
                complete[spec.name] = columns[spec.name]
            elif spec.default is REQUIRED:
                raise StoreError(
                    f"table {self.name!r} has no column {spec.name!r}; the file is damaged or not of retriever"
                )
            else:
                complete[spec.name] = np.full(n, spec.default, dtype=NUMPY_KINDS[spec.kind])
        return complete


def column(unit: str, description: str, *, default: object = MISSING) -> Any:
    """A dataclass field that is a column of a table; a default serves rows of older files too."""
    return field(default=default, metadata={"unit": unit, "description": description})


def table_of(kind: type, name: str, order: tuple[str, ...]) -> Table:
    """The table that a record's fields declare; they are described in its docstring too."""
    by_name: Mapping[object, type] = {
        "int": int,
        "float": float,
        "bool": bool,
        "str": str,
        int: int,
        float: float,
        bool: bool,
        str: str,
    }
    table = Table(
        name=name,
        columns=tuple(
            Column(
                name=spec.name,
                kind=by_name[spec.type],
                unit=spec.metadata["unit"],
                description=spec.metadata["description"],
                default=REQUIRED if spec.default is MISSING else spec.default,
            )
            for spec in dataclasses.fields(kind)
        ),
        order=order,
    )
    kind.__doc__ = _described(kind.__doc__ or "", table)
    return table


def _described(text: str, table: Table) -> str:
    """A docstring with a section on the attributes, from the columns of a table."""
    lines = ["", "", "    Attributes", "    ----------"]
    for spec in table.columns:
        unit = f" [{spec.unit}]" if spec.unit else ""
        lines += [f"    {spec.name}", f"        {spec.description}{unit}"]
    return text.rstrip() + "\n".join([*lines, "    "])
