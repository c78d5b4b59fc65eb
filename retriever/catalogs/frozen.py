"""Downloaded catalogs on disk. Each is a Parquet file that never changes, with its provenance in a JSON file."""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.arrays import Array
from retriever.client.duration import seconds_of
from retriever.client.http import Client
from retriever.client.response_cache import now
from retriever.errors import CatalogError, FetchError
from retriever.formats import read_table
from retriever.identity import canonical_hash
from retriever.rawtable import RawPhotometry, RawTable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Fetched", "FrozenCatalogs", "freeze_fits", "freeze_table"]


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A catalog just downloaded.

    Attributes
    ----------
    write
        Writes it to a path as Parquet.
    digest
        Of its content.
    address
        Where it came from.
    """

    write: Callable[[Path], None]
    digest: str
    address: str


@dataclass(frozen=True, kw_only=True)
class FrozenCatalogs:
    """The folder of downloaded catalogs: ``<name>_<digest>.parquet`` with a provenance in ``<name>_<digest>.json``.

    Attributes
    ----------
    folder
        The folder.
    name
        First word of the files' names.
    request
        What is asked for, as plain data; the same request gives the file on disk.
    reference
        What to cite.
    before
        The request in the form of earlier versions, which left out the address; its "address" lists the services that
        such a file may have come from. None if nothing was left out.
    """

    folder: Path
    name: str
    request: Mapping[str, object]
    reference: str
    before: Mapping[str, Any] | None = None

    def get(self, client: Client, fetch: Callable[[Path], Fetched], key: str) -> tuple[Path, tuple[str, ...]]:
        """The file of this request. It is downloaded if it is not on disk or is older than `client.refresh`.

        Parameters
        ----------
        client
            Its `offline` forbids downloads; its `refresh` is the age from which to download again.
        fetch
            Downloads it; it is given a folder for temporary files.
        key
            Column that identifies rows, used to report changes.

        Returns
        -------
        path
            Of the file.
        notes
            What changed, in sentences.

        Raises
        ------
        CatalogError
            When it is not on disk and cannot be downloaded.
        """
        on_disk = self._newest()
        if on_disk is not None and (client.offline or not self._is_old(on_disk, client.refresh)):
            return on_disk, ()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{_plain(self.name)}-", dir=self.folder) as scratch:
                path = self._keep(fetch(Path(scratch)))
        except FetchError as error:
            if on_disk is not None:
                return on_disk, (f"catalog {self.name} could not be fetched again, the one on disk is used: {error}",)
            raise CatalogError(f"catalog {self.name} is not on disk, and {error}") from error
        except OSError as error:
            raise CatalogError(f"cannot write to {self.folder}: {error.strerror or error}; free some space") from error
        return path, (() if on_disk is None else (self._changes(on_disk, path, key),))

    def _newest(self) -> Path | None:
        """The newest file of this request."""
        candidates = [
            (provenance.get("fetched", ""), path.with_suffix(".parquet"))
            for path in sorted(self.folder.glob(f"{_plain(self.name)}_*.json"))
            if self._is_of_this_request(provenance := _provenance(path))
        ]
        candidates = [(fetched, path) for fetched, path in candidates if path.exists()]
        return max(candidates)[1] if candidates else None

    def _is_of_this_request(self, provenance: Mapping[str, object]) -> bool:
        if provenance.get("request") == self._request():
            return True
        if self.before is None or provenance.get("address") not in self.before["address"]:
            return False
        return bool(provenance.get("request") == {key: value for key, value in self.before.items() if key != "address"})

    def _request(self) -> object:
        return json.loads(json.dumps(self.request, sort_keys=True))

    def _is_old(self, path: Path, refresh: str | None) -> bool:
        if refresh is None:
            return False
        fetched = datetime.fromisoformat(_provenance(path.with_suffix(".json"))["fetched"])
        return fetched < datetime.now(UTC) - timedelta(seconds=seconds_of(refresh, "run.refresh"))

    def _keep(self, fetched: Fetched) -> Path:
        # of the request too: two that have the same answer each have a file with a provenance of its own
        digest = canonical_hash([self._request(), fetched.digest])
        path = self.folder / f"{_plain(self.name)}_{digest[:12]}.parquet"
        provenance = {
            "name": self.name, "request": self._request(), "address": fetched.address, "fetched": now(),
            "digest": digest, "reference": self.reference,
        }  # fmt: skip
        beside, provenance_beside = path.with_name(f".{path.name}"), path.with_name(f".{path.stem}.json")
        try:
            if not path.exists():
                fetched.write(beside)
                beside.replace(path)
            provenance["rows"] = _n_rows(path)
            provenance_beside.write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
            provenance_beside.replace(path.with_suffix(".json"))
        finally:
            beside.unlink(missing_ok=True)
            provenance_beside.unlink(missing_ok=True)
        return path

    def _changes(self, before: Path, after: Path, key: str) -> str:
        if before == after:
            return f"catalog {self.name} was fetched again and is the same"
        old, new = (_rows_by(key, path) for path in (before, after))
        changed = sum(old[name] != new[name] for name in old.keys() & new.keys())
        return (
            f"catalog {self.name} was fetched again: {len(new.keys() - old.keys())} rows are new, "
            f"{len(old.keys() - new.keys())} gone, {changed} changed"
        )


def freeze_table(table: RawTable, address: str) -> Fetched:
    """A table in memory as a download."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(path: Path) -> None:
        arrays = {}
        for name, column in table.columns.items():
            values = np.ma.getdata(column)
            texts = values.astype(np.str_) if values.dtype.kind in "SU" else values
            arrays[name] = pa.array(texts, mask=np.ma.getmaskarray(column) if np.ma.isMaskedArray(column) else None)
        pq.write_table(pa.table(arrays), path)

    return Fetched(write=write, digest=RawPhotometry(tables=(table,)).digest(), address=address)


def freeze_fits(path: Path, address: str) -> Fetched:
    """A FITS table on disk (not compressed) as a download: written as Parquet piece by piece, in little memory."""

    def write(to: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq
        from astropy.io import fits

        with fits.open(path, memmap=True) as hdus:
            table = next(hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU))
            names, writer = [name for name in table.columns.names if table.data.dtype[name].shape == ()], None
            try:
                for first in range(0, len(table.data), _ROWS_AT_ONCE):
                    part = table.data[first : first + _ROWS_AT_ONCE]
                    piece = pa.table({name: _arrow_values(np.asarray(part[name])) for name in names})
                    writer = writer or pq.ParquetWriter(to, piece.schema)
                    writer.write_table(piece)
            finally:
                if writer is not None:
                    writer.close()

    return Fetched(write=write, digest=_file_digest(path), address=address)


_ROWS_AT_ONCE = 1 << 16


def _arrow_values(values: Array) -> "pa.Array":
    import pyarrow as pa

    if values.dtype.kind in "SU":
        return pa.array(np.char.strip(values.astype(np.str_)).tolist(), pa.string())
    return pa.array(values.astype(values.dtype.newbyteorder("=")))


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _provenance(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def _n_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _rows_by(key: str, path: Path) -> dict[object, Sequence[object]]:
    table = read_table(path)
    columns = [column.tolist() for column in table.columns.values()]
    return {name: repr(row) for name, *row in zip(table.columns[key].tolist(), *columns, strict=True)}


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.") or "catalog"
