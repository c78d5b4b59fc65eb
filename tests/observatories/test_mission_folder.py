from pathlib import Path

import numpy as np
from astropy.io import fits

from retriever.observatories.mission_folder import MissionFolderObservatory
from retriever.source import Source


def test_all_files_of_a_star_with_every_column_and_header(real_data: Path) -> None:
    observatory = MissionFolderObservatory(folder=str(real_data / "tess"))
    (answer,) = observatory.fetch([Source(name="TIC 188589164", ra=0.0, dec=0.0)])
    assert len(answer.tables) == 3
    for table in answer.tables:
        with fits.open(real_data / "tess" / table.origin) as hdus:
            assert len(table.headers) == len(hdus)
            for text, hdu in zip(table.headers, hdus, strict=True):
                assert text == hdu.header.tostring(sep="\n", endcard=False, padding=False)
            assert list(table.columns) == hdus[1].columns.names
            for name, column in table.columns.items():
                expected = hdus[1].data[name]
                assert column.dtype == expected.dtype.newbyteorder("=")
                np.testing.assert_array_equal(column, expected)


def test_stars_by_number_and_stars_without_files(real_data: Path) -> None:
    observatory = MissionFolderObservatory(folder=str(real_data / "tess"))
    known, unknown = observatory.fetch(
        [Source(name="25155310", ra=0.0, dec=0.0), Source(name="TIC 1", ra=0.0, dec=0.0)]
    )
    assert known.n_rows == 20076
    assert unknown.is_empty


def test_damaged_files_fail(real_data: Path) -> None:
    observatory = MissionFolderObservatory(folder=str(real_data / "broken"))
    (answer,) = observatory.fetch([Source(name="TIC 261136679", ra=0.0, dec=0.0)])
    assert isinstance(answer, Exception)
