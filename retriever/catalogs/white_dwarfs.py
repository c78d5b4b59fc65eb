"""The white dwarfs of Gaia EDR3 (Gentile Fusillo et al. 2021, MNRAS 508, 3877): 1.3 million, 359,000 of them sure."""

import gzip
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retriever.catalogs.frozen import Fetched, FrozenCatalogs, freeze_fits
from retriever.catalogs.remote import Box, Cone, gaia_magnitudes
from retriever.catalogs.tabular import CatalogColumns, Loaded, Magnitude, TableCatalog
from retriever.client.http import Client
from retriever.errors import CatalogError
from retriever.formats import read_table
from retriever.interfaces import NO_RESULT

__all__ = ["WhiteDwarfFile"]


def _columns() -> CatalogColumns:
    return CatalogColumns(name="WDJ_name", pmra="pmra", pmdec="pmdec", parallax="parallax", aliases=["designation"])


@dataclass(frozen=True, kw_only=True)
class WhiteDwarfFile(TableCatalog):
    """White dwarfs from the authors' file, which is downloaded once, whole; cuts are made on reading.

    Parameters
    ----------
    min_pwd
        Least probability of being a white dwarf; the authors take those above 0.75 for sure.
    min_mag, max_mag
        Range of G; null for no bound.
    cone, box
        Where on the sky, at epoch 2016.
    name
        Of the frozen files.
    reference
        What to cite.
    url
        Address of the file.
    folder
        Where frozen catalogs lie.
    client
        How it is asked for.
    """

    columns: CatalogColumns = field(default_factory=_columns)
    magnitudes: dict[str, Magnitude] = field(default_factory=gaia_magnitudes)
    epoch: float = 2016.0
    min_pwd: float = 0.75
    min_mag: float | None = None
    max_mag: float | None = None
    cone: Cone = field(default_factory=Cone)
    box: Box = field(default_factory=Box)
    name: str = "white_dwarfs"
    reference: str = "Gentile Fusillo et al. 2021, MNRAS 508, 3877"
    url: str = field(
        default="https://warwick.ac.uk/fac/sci/physics/research/astro/research/catalogues/gaiaedr3_wd_main.fits.gz",
        metadata=NO_RESULT,
    )
    folder: str = field(default="catalogs", metadata=NO_RESULT)
    client: Client = field(default_factory=Client, metadata=NO_RESULT)

    @property
    def condition(self) -> str:
        """All cuts as one expression on the file's columns."""
        cuts = [f"Pwd >= {self.min_pwd!r}"] if self.min_pwd > 0 else []
        cuts += [f"phot_g_mean_mag >= {self.min_mag!r}"] if self.min_mag is not None else []
        cuts += [f"phot_g_mean_mag <= {self.max_mag!r}"] if self.max_mag is not None else []
        cuts += self.box.conditions("ra", "dec") + self.cone.expression("ra", "dec")
        return " and ".join(f"({cut})" for cut in [*cuts, *([self.where] if self.where else [])])

    def read(self, wanted: Sequence[str]) -> Loaded:
        """Read the frozen file, after downloading it where it is not there."""
        files = FrozenCatalogs(
            folder=Path(self.folder).expanduser(),
            name=self.name,
            request={"file": self.url.rpartition("/")[2]},
            reference=self.reference,
        )
        path, notes = files.get(self.client, self._fetch, self.columns.name)
        return Loaded(table=read_table(path, wanted), where=str(path), notes=notes, reference=self.reference)

    def _fetch(self, scratch: Path) -> Fetched:
        """Download the file and unpack it; what is written of it is Parquet."""
        packed, plain = scratch / "file.fits.gz", scratch / "file.fits"
        address = self.client.download(self.url, packed, what=self.url.rpartition("/")[2])
        try:
            with gzip.open(packed) as source, plain.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except (gzip.BadGzipFile, EOFError) as error:
            raise CatalogError(f"{address} is no whole gzip file ({error}); fetch it again") from error
        return freeze_fits(plain, address)
