"""A catalog made from the light-curve files in a folder."""

from collections import Counter
from dataclasses import dataclass, field

from retriever.errors import CatalogError
from retriever.fits_folder import ArchiveFile, archive_files, existing_folder
from retriever.interfaces import NO_RESULT
from retriever.source import SourceTable

__all__ = ["FolderCatalog"]


@dataclass(frozen=True, kw_only=True)
class FolderCatalog:
    """The stars of the archive files in a folder, from their FITS headers.

    Parameters
    ----------
    folder
        Where the files are; subfolders are searched too.
    telescope
        "TESS" or "Kepler".
    """

    folder: str | None = field(default=None, metadata=NO_RESULT)
    telescope: str = "TESS"

    def load(self) -> SourceTable:
        """Make the table of sources; files without a readable header or a position are counted as skipped."""
        folder = existing_folder(self.folder, "catalog.folder")
        files, unread = archive_files(folder, self.telescope)
        skipped = Counter(reason for reason in unread.values())
        stars: dict[str, ArchiveFile] = {}
        for file in files:
            if file.ra != file.ra or file.dec != file.dec:
                skipped[f"{file.path} has no position in its header"] += 1
            else:
                stars.setdefault(file.name, file)
        if not stars:
            raise CatalogError(f"{folder} has no light-curve file of {self.telescope} with a position; choose another")
        unique_stars = list(stars.values())
        return SourceTable.from_columns(
            name=[star.name for star in unique_stars],
            ra=[star.ra % 360.0 for star in unique_stars],
            dec=[star.dec for star in unique_stars],
            pmra=[star.pmra for star in unique_stars],
            pmdec=[star.pmdec for star in unique_stars],
            mag=[star.mag for star in unique_stars],
            band=self.telescope,
            aliases=[(star.number,) for star in unique_stars],
            skipped=dict(skipped),
        )
