"""Runs from Python."""

import sys
from pathlib import Path

from retriever.api.archive import open_archive
from retriever.api.version import Version
from retriever.composition.from_python import compose_from_python
from retriever.errors import AbortedRun
from retriever.pages.report import report_after_run
from retriever.pipeline.session import run_config
from retriever.pipeline.settings import Paths
from retriever.report.summary import print_summary

__all__ = ["run"]


def run(*overrides: str, config_dir: str | None = None, quiet: bool = False, **groups: object) -> Version:
    """Run a search, as ``retriever run`` does, and give its version.

    Parameters
    ----------
    overrides
        Words as on the command line, such as ``"finder.snr_threshold=7"``.
    config_dir
        Folder with config groups of your own.
    quiet
        Whether to leave out the summary.
    groups
        Parts of the config by name. A text is a choice (``experiment="ztf_folder"``), a mapping changes parameters
        (``finder={"snr_threshold": 8.5}``), a component takes the place of the part (``finder=MyFinder(kernels=20)``);
        ``catalog`` may be a table's path, or columns with `name`, `ra` and `dec` in degrees.

    Returns
    -------
    Version
        The version; its name is that of the same config on the command line.

    Raises
    ------
    RetrieverError
        For whatever keeps the run from starting, or aborts it.
    KeyboardInterrupt
        When it was interrupted; run again to go on.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     version = run(f"paths.outputs={folder}/outputs", f"paths.data={folder}/data", quiet=True,
    ...                   catalog={"name": ["A", "B"], "ra": [10.0, 20.0], "dec": [0.0, 5.0]})
    ...     version.sources["name"].tolist()
    ['A', 'B']
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    config = compose_from_python(overrides, groups, config_dir)
    summary = run_config(config)
    if not quiet:
        print_summary(summary)
    told = report_after_run(summary, Paths(data=str(config.paths.data)).data_root) if summary.wants_report else ""
    if told and not quiet:
        print(told)
    if summary.state == "interrupted":
        raise KeyboardInterrupt
    if summary.state == "aborted":
        raise AbortedRun(f"{summary.message}; {summary.folder}")
    archive = open_archive(Path(summary.folder).parent, data=str(config.paths.data))
    return archive.versions[summary.version]
