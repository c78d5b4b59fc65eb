"""What a static look at code cannot follow: code that is made while it runs, and files that it reads."""

import re

__all__ = ["is_unseen"]

_UNSEEN = re.compile(
    r"""
    (?: builtins\.(open|exec|eval|__import__)
    | importlib | runpy | imp | ctypes
    | pkgutil\.(get_data|get_loader|find_loader|iter_modules|walk_packages)
    | (pickle|_pickle|dill|cloudpickle|joblib|torch)\.(load|loads|Unpickler)
    | numpy\.(load|loadtxt|genfromtxt|fromfile|fromregex|memmap)
    | numpy\.lib\.npyio\.\w+ | numpy\.lib\.format\.(open_memmap|read_array)
    | (pandas|polars)\.(\w+\.)*(read_\w+|scan_\w+|HDFStore|ExcelFile)
    | astropy\.(\w+\.)*read | astropy\.io\.fits\.(\w+\.)*(open|fitsopen|getdata|getheader|getval)
    | astropy\.io\.votable\.(\w+\.)*(parse|parse_single_table) | astropy\.utils\.data\.\w+
    | (io|_io|os|codecs|tokenize|gzip|bz2|lzma|tarfile|shelve|dbm|wave)\.(open|open_code|FileIO)
    | fileinput\.\w+ | mmap\.mmap
    | (gzip\.GzipFile | bz2\.BZ2File | lzma\.LZMAFile | tarfile\.TarFile | zipfile\.ZipFile | linecache\.\w+)
    | sqlite3\.connect | h5py\.File | netCDF4\.Dataset
    | xarray\.(open|load)_\w+ | zarr\.(open|load)\w* | scipy\.io\.(\w+\.)*\w+
    | pyarrow\.(\w+\.)*(read_\w+|open_\w+|memory_map|ParquetFile|dataset\.dataset)
    | pathlib\.\w+\.(open|read_text|read_bytes)
    ) (?: \. | $ )
    """,
    re.VERBOSE,
)


def is_unseen(name: str) -> bool:
    """Whether a function of the standard library or a package reads files, or runs code that is not in the source.

    Parameters
    ----------
    name
        With its module, ``builtins`` for what needs no import.

    Examples
    --------
    >>> is_unseen("numpy.loadtxt"), is_unseen("importlib.import_module"), is_unseen("numpy.linalg.norm")
    (True, True, False)
    """
    return _UNSEEN.match(name) is not None
