"""A sweep: versions that differ in chosen parameters, their table, and completeness as one cube.

A sweep's folder is in the outputs folder, beside its versions. It is named by a hash of its overrides, so that the same
sweep started again uses it again. `completeness.zarr` is created at each start, full of NaN, so that nothing of older
code stays in it. Each job then writes its own region, which is a chunk of its own, so that concurrent jobs never write
the same file.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retriever.errors import StoreError
from retriever.identity import canonical_hash
from retriever.report.compare import AMPLITUDES, compare_many, many_text, recovered_by_amplitude
from retriever.report.versions import VersionFolder
from retriever.store.files import write_text

__all__ = ["Sweep", "open_sweep"]

CUBE = "completeness.zarr"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep's folder and axes.

    Attributes
    ----------
    folder
        Beside the versions.
    axes
        Address of each swept parameter, and its values as words, in the order in which jobs count through them.
    """

    folder: Path
    axes: Mapping[str, Sequence[str]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values on each axis."""
        return tuple(len(values) for values in self.axes.values())

    def record(self, number: int, exit_code: int, version: str = "") -> None:
        """Write down how a job ended, its version's folder, and its region of the cube."""
        record = {"job": number, "exit_code": exit_code, "version": version}
        write_text(self.folder.parent, self.folder / "jobs" / f"{number}.json", json.dumps(record) + "\n")
        if version and number < int(np.prod(self.shape)):
            self._write_region(number, VersionFolder(Path(version)))

    def _write_region(self, number: int, version: VersionFolder) -> None:
        import xarray as xr

        try:
            injected, recovered = recovered_by_amplitude(version)
        except StoreError:
            return  # a run that ended before its tables were written has no injections to count
        place = np.unravel_index(number, self.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = recovered / injected
        single = (1,) * len(self.shape)
        dims = [*self.axes, "amplitude"]
        region = {name: slice(int(k), int(k) + 1) for name, k in zip(self.axes, place, strict=True)}
        region["amplitude"] = slice(0, injected.size)
        data = {
            "completeness": (dims, share.reshape(*single, -1)),
            "injected": (dims, injected.reshape(*single, -1)),
            "recovered": (dims, recovered.reshape(*single, -1)),
        }
        xr.Dataset(data).to_zarr(self.folder / CUBE, region=region, mode="r+", zarr_format=2, consolidated=False)

    def make_cube(self) -> None:
        """Create the cube, full of NaN."""
        import xarray as xr

        dims = [*self.axes, "amplitude"]
        shape = (*self.shape, AMPLITUDES.size - 1)
        chunks = (*(1 for _ in self.shape), AMPLITUDES.size - 1)
        attrs = {"units": "1", "long_name": "share of injected events that were recovered, blended ones left out"}
        dataset = xr.Dataset(
            {
                "completeness": (dims, np.full(shape, np.nan), attrs),
                "injected": (dims, np.full(shape, -1, np.int64), {"units": "1", "long_name": "-1: not run yet"}),
                "recovered": (dims, np.full(shape, -1, np.int64), {"units": "1", "long_name": "-1: not run yet"}),
            },
            coords={
                **{name: (name, _numbers(values)) for name, values in self.axes.items()},
                "amplitude": ("amplitude", AMPLITUDES[:-1], {"units": "1", "long_name": "S/N put in, lower edge"}),
                "amplitude_high": ("amplitude", AMPLITUDES[1:], {"units": "1", "long_name": "S/N put in, upper edge"}),
            },
        )
        encoding = {name: {"chunks": chunks} for name in ("completeness", "injected", "recovered")}
        dataset.to_zarr(self.folder / CUBE, mode="w", encoding=encoding, zarr_format=2, consolidated=False)

    def discard(self) -> None:
        """Remove the folder of a sweep of which no job began."""
        if not self.outcomes():
            shutil.rmtree(self.folder, ignore_errors=True)

    def outcomes(self) -> list[dict[str, Any]]:
        """How each job ended, in their order."""
        paths = sorted((self.folder / "jobs").glob("*.json"), key=lambda path: int(path.stem))
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    def exit_codes(self) -> list[int]:
        """Exit codes of the jobs that ended, in their order."""
        return [int(outcome["exit_code"]) for outcome in self.outcomes()]

    def text(self) -> str:
        """The table of the sweep, and which jobs failed."""
        outcomes = self.outcomes()
        versions = {job["version"]: VersionFolder(Path(job["version"])) for job in outcomes if job["version"]}
        lines = [many_text(compare_many(list(versions.values())))] if versions else []
        lines += [
            f"job {job['job']} ended with exit code {job['exit_code']}" for job in outcomes if job["exit_code"] != 0
        ]
        return "\n".join([*lines, f"completeness over the sweep: {self.folder / CUBE}"])


def _numbers(values: Sequence[str]) -> object:
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return np.array(values, np.str_)


def open_sweep(outputs: Path, words: Sequence[str], axes: Mapping[str, Sequence[str]]) -> Sweep:
    """Create a sweep's folder and its empty cube.

    Raises
    ------
    StoreError
        When the folder cannot be written.
    """
    name = f"SWEEP_{canonical_hash([sorted(words), {key: list(values) for key, values in axes.items()}])[:12]}"
    sweep = Sweep(folder=outputs / name, axes=axes)
    manifest = {"words": list(words), "axes": {key: list(values) for key, values in axes.items()}}
    try:
        write_text(outputs, sweep.folder / "sweep.json", json.dumps(manifest, indent=2) + "\n")
        for path in (sweep.folder / "jobs").glob("*.json"):
            path.unlink()
        sweep.make_cube()
    except OSError as error:
        raise StoreError(
            f"cannot write {sweep.folder}: {error.strerror or error}; choose another paths.outputs"
        ) from error
    return sweep
