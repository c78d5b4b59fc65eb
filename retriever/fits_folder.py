"""Folders of light-curve files of the TESS and Kepler archives: whose they are, by their headers."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retriever.errors import ConfigError, FileFormatError
from retriever.formats import primary_header

__all__ = ["ArchiveFile", "archive_files", "existing_folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """What the primary header of a file says of its star. Position in degrees, J2000; proper motion in mas per year."""

    path: Path
    name: str
    ra: float
    dec: float
    pmra: float
    pmdec: float
    mag: float

    @property
    def number(self) -> str:
        """Number in the mission's input catalog."""
        return self.name.rpartition(" ")[2]


def existing_folder(folder: str | None, where: str) -> Path:
    """A folder of the config as a path.

    Raises
    ------
    ConfigError
        When none is given, or there is no such folder.
    """
    if not folder:
        raise ConfigError(f"{where} is not given; say where your light curves are with paths.lightcurves=FOLDER")
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ConfigError(f"{where} is {folder}, which is not a folder; check paths.lightcurves")
    return path


def archive_files(folder: Path, telescope: str) -> tuple[list[ArchiveFile], dict[str, str]]:
    """Files of one telescope in a folder and the folders below it.

    Parameters
    ----------
    folder
        Where to look.
    telescope
        "TESS" or "Kepler", as the header's TELESCOP says.

    Returns
    -------
    files
        In order of name and path.
    skipped
        Files that were left out: path to reason.
    """
    paths = sorted(path for path in folder.rglob("*") if path.name.lower().endswith((".fits", ".fits.gz", ".fit")))
    files, skipped = [], {}
    for path in paths:
        try:
            files.append(_facts(str(path), path.stat().st_mtime_ns, telescope))
        except FileFormatError as error:
            skipped[str(path)] = str(error)
    return sorted(files, key=lambda file: (file.name, str(file.path))), skipped


@functools.lru_cache(maxsize=100_000)
def _facts(path: str, mtime_ns: int, telescope: str) -> ArchiveFile:
    header = primary_header(Path(path))
    name = _star(header, Path(path).name)
    of = str(header.get("TELESCOP") or _TELESCOPES.get(name.partition(" ")[0], "")).upper()
    if of.replace("K2", "KEPLER") != telescope.upper():
        raise FileFormatError(f"{path} is not of {telescope}: its header says TELESCOP={header.get('TELESCOP')!r}")
    if not name:
        raise FileFormatError(f"{path} does not name its star in OBJECT")
    # Kepler's headers give proper motion in arcsec per year, those of TESS in mas per year
    scale = 1000.0 if telescope.upper() == "KEPLER" else 1.0
    return ArchiveFile(
        path=Path(path),
        name=name,
        ra=_number(header.get("RA_OBJ")),
        dec=_number(header.get("DEC_OBJ")),
        pmra=scale * _number(header.get("PMRA")),
        pmdec=scale * _number(header.get("PMDEC")),
        mag=next((_number(header[key]) for key in ("TESSMAG", "KEPMAG", "TMAG") if key in header), float("nan")),
    )


_TELESCOPES = {"TIC": "TESS", "KIC": "Kepler", "EPIC": "Kepler"}
"""Telescope of each catalog, for files whose header does not say it."""


def _star(header: Mapping[str, object], file: str) -> str:
    """Name of a file's star in the mission's catalog: by OBJECT, by a number in the header, or by the file's name."""
    named = " ".join(str(header.get("OBJECT") or "").split())
    if named.startswith(tuple(_TELESCOPES)):
        return named
    for keyword, catalog in (("TICID", "TIC"), ("TIC_ID", "TIC"), ("KEPLERID", "EPIC")):
        number = str(header.get(keyword) or "").removeprefix("TIC").strip()
        if number.isdigit():
            return f"{catalog} {int(number)}"
    in_name = re.search(r"(?:ktwo|epic|lightcurve_)[-_]?(\d{9})", file, re.IGNORECASE)
    return f"EPIC {in_name[1]}" if in_name else named


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
