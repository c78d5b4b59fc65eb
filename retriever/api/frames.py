"""Tables of versions as DataFrames with units."""

from typing import TYPE_CHECKING

from retriever.report.versions import declared_defaults

if TYPE_CHECKING:
    import pyarrow as pa


if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_of"]


def frame_of(name: str, table: "pa.Table", columns: list[str] | None = None) -> "pd.DataFrame":
    """An Arrow table as a DataFrame; ``attrs["units"]`` has the units of the columns that have one.

    Parameters
    ----------
    name
        Name of the table in the version: declared columns that an older version does not have get their defaults.
    table
        The Arrow table.
    columns
        The columns in their order; those of the table where none are named.

    Examples
    --------
    >>> from retriever.report.arrow import arrow_table
    >>> frame_of("nights", arrow_table({"night": [b"n1".decode()]})).night.tolist()
    ['n1']
    """
    import pandas as pd

    known = {key: table[key].to_numpy() for key in table.column_names}
    known |= declared_defaults(name, columns, known, table.num_rows)
    frame = pd.DataFrame({key: known[key] for key in columns} if columns else known)
    metadata = {field.name: field.metadata or {} for field in table.schema}
    units = {key: words[b"unit"].decode() for key, words in metadata.items() if b"unit" in words}
    frame.attrs["units"] = {key: unit for key, unit in units.items() if key in frame}
    return frame
