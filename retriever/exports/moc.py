"""The part of the sky that a catalog covers, as a MOC (IVOA Multi-Order Coverage map, version 2.0); needs mocpy."""

from pathlib import Path
from typing import TYPE_CHECKING

from retriever.errors import ConfigError

if TYPE_CHECKING:
    from mocpy import MOC

    from retriever.api.version import Version

__all__ = ["moc_of", "write_moc"]


def moc_of(version: "Version", order: int = 10) -> "MOC":
    """The cells of the sky in which a version has sources.

    Parameters
    ----------
    order
        Of the smallest cells: 3.4 arcmin at 10, 0.9 degrees at 6.

    Raises
    ------
    ConfigError
        When mocpy is not installed, or there is no such order.
    """
    if not 0 <= order <= 29:
        raise ConfigError(f"order is {order}; a MOC has orders from 0 to 29")
    try:
        from mocpy import MOC
    except ImportError as error:
        raise ConfigError("a MOC needs the package mocpy: pip install 'retriever[moc]'") from error
    from astropy import units

    places = version.table("sources", ["ra", "dec"])
    ra, dec = (places[name].to_numpy() * units.deg for name in ("ra", "dec"))
    return MOC.from_lonlat(ra, dec, max_norder=order)


def write_moc(version: "Version", path: Path) -> None:
    """Write the MOC of a version as FITS, which Aladin, TOPCAT and mocpy open; see `moc_of`."""
    moc_of(version).save(str(path), format="fits", overwrite=True)
