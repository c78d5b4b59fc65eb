"""Light curves as a HATS catalog, which LSDB reads: nested Parquet in pixels of the sky; needs hats-import."""

import tempfile
from pathlib import Path

from retriever.errors import ConfigError

__all__ = ["write_hats"]


def write_hats(nested: Path, folder: Path, name: str) -> None:
    """Partition a file of nested light curves by place on the sky.

    Parameters
    ----------
    nested
        A file of `retriever.exports.nested.write_nested`.
    folder
        The catalog's folder, which must not exist.
    name
        Name of the catalog.

    Raises
    ------
    ConfigError
        When hats-import is not installed.
    """
    try:
        from distributed import Client
        from hats_import.catalog.arguments import ImportArguments
        from hats_import.pipeline import pipeline_with_client
    except ImportError as error:
        raise ConfigError("HATS catalogs need the package hats-import: pip install 'retriever[hats]'") from error
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as temporary:
        arguments = ImportArguments(
            output_path=temporary, output_artifact_name=name, input_file_list=[str(nested)], file_reader="parquet",
            ra_column="ra", dec_column="dec", catalog_type="object", progress_bar=False, simple_progress_bar=False,
            tmp_dir=temporary,
        )  # fmt: skip
        with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
            pipeline_with_client(arguments, client)
        (Path(temporary) / name).rename(folder)
