"""Versions: names of results, and their folders."""

import importlib.metadata
import json
import os
import platform
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import retriever
from retriever.errors import ConfigError, StoreError
from retriever.fingerprint.code_hashes import definition_of, user_modules
from retriever.identity import canonical_hash, digest_bytes
from retriever.pipeline.recipe import Recipe, definitions_of, describe
from retriever.report.tables import is_table
from retriever.source import SourceTable
from retriever.store.files import write_text

__all__ = ["Project", "Version", "environment", "make_version", "new_run_name"]


@dataclass(frozen=True, kw_only=True)
class Project:
    """What the work is called.

    Parameters
    ----------
    name
        Begins the names of the version folders: letters, digits, ``-`` and ``_``.
    description
        For people; changes nothing.
    seed
        Seed of every random stream of the search.
    version_control
        Whether each version has its own folder; if not, the project has one, which always holds the latest result.
    """

    name: str = "demo"
    description: str = ""
    seed: int = 0
    version_control: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", self.name):
            raise ConfigError(
                f"project.name is {self.name!r}; it names a folder, so use up to 64 letters, digits, '-' and '_'"
            )


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version: its hash, what went into it, and its folder.

    Attributes
    ----------
    name, folder
        Of the version folder.
    hash
        Canonical hash of `inputs`.
    inputs
        Plain data: everything the version depends on.
    """

    name: str
    folder: Path
    hash: str
    inputs: Mapping[str, Any]

    def open_folder(self, config_yaml: str, repositories: Mapping[str, "Repository"], recipe: Recipe) -> None:
        """Create the folder unless it is already this version's; tables of another version are deleted."""
        root = self.folder.parent
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            record = self.folder / "version.json"
            if _hash_in(record) == self.hash and (self.folder / "config.yaml").exists():
                return
            for path in [path for path in self.folder.iterdir() if is_table(path.name)]:
                path.unlink()
            write_text(root, self.folder / "config.yaml", config_yaml)
            patch = "".join(repository.patch for repository in repositories.values())
            write_text(root, self.folder / "uncommitted.patch", patch)
            for name, path in _user_sources(recipe).items():
                write_text(root, self.folder / "modules" / f"{name}.py", path.read_text(encoding="utf-8"))
            record_of_version = {
                "hash": self.hash,
                "inputs": self.inputs,
                "code": recipe.code,
                "stages_of_groups": [stage.name for stage in recipe.stages if stage.is_of_groups],
                "surveys": {name: survey.observatory.survey for name, survey in recipe.surveys.items()},
                "created": _now(),
                "environment": environment(),
                "uncommitted": {
                    name: {"dirty": repository.is_dirty, "untracked": list(repository.untracked)}
                    for name, repository in repositories.items()
                },
            }
            write_text(root, record, json.dumps(record_of_version, indent=2, sort_keys=True) + "\n")
        except FileExistsError as error:
            raise StoreError(f"{self.folder} is a file where a folder must go; move it away") from error
        except OSError as error:
            raise StoreError(
                f"cannot write the version folder {self.folder}: {error.strerror}; "
                "free some space or choose another with paths.outputs"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Repository:
    """State of a git repository: commit ("" outside of one), and the uncommitted changes as a patch."""

    commit: str = ""
    patch: str = ""
    untracked: tuple[str, ...] = ()

    @property
    def is_dirty(self) -> bool:
        """Whether anything differs from the commit."""
        return bool(self.patch or self.untracked)


def make_version(
    project: Project,
    catalog: Any,
    sources: SourceTable,
    recipe: Recipe,
    repositories: Mapping[str, Repository],
) -> Version:
    """Derive the version of a run.

    Parameters
    ----------
    project, catalog, sources, recipe
        The built config, and the table that the catalog gave.
    repositories
        "retriever" and "working folder".
    """
    inputs = {
        "project": {"name": project.name, "seed": project.seed},
        "catalog": {**describe(catalog), "digest": sources.digest},
        "observatories": {name: describe(survey.observatory) for name, survey in recipe.surveys.items()},
        "reducers": {name: describe(survey.reducer) for name, survey in recipe.surveys.items()},
        **{group: describe(component) for group, component in recipe.search.items()},
        "histograms": describe(recipe.histograms),
        **({"stages": {name: describe(component) for name, component in recipe.own.items()}} if recipe.own else {}),
        "stage_keys": {
            name: {stage: spec.key for stage, spec in specs.items()} for name, specs in recipe.specs.items()
        },
        "commits": {
            "retriever": repositories["retriever"].commit or _installed_identity(),
            "working folder": repositories["working folder"].commit,
        },
    }
    version_hash = canonical_hash(inputs)
    name = f"{project.name.upper()}_{version_hash[:12]}" if project.version_control else project.name.upper()
    return Version(name=name, folder=recipe.outputs / name, hash=version_hash, inputs=inputs)


def repositories(working_folder: Path, ignored: tuple[Path, ...]) -> dict[str, Repository]:
    """State of the repositories of retriever's own checkout and of the working folder.

    Parameters
    ----------
    ignored
        Folders of data and outputs, which never make a tree dirty.
    """
    package = Path(retriever.__file__).parent
    own = _repository(package.parent, ignored) if (package.parent / "pyproject.toml").exists() else Repository()
    return {"retriever": own, "working folder": _repository(working_folder, ignored)}


def _repository(folder: Path, ignored: tuple[Path, ...]) -> Repository:
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # without git, commits are left empty
    import git

    try:
        with git.Repo(folder, search_parent_directories=True) as repo:
            top = Path(repo.working_dir)
            left_out = ["outputs", "data", "catalogs"]
            left_out += [str(path.relative_to(top)) for path in ignored if path.is_relative_to(top) and path != top]
            scope = [".", *(f":(exclude,top,literal){name}" for name in left_out)]
            patch = repo.git.diff("HEAD", "--", *scope)
            listed = repo.git.ls_files("--others", "--exclude-standard", "--", *scope)
            return Repository(
                commit=repo.head.commit.hexsha,
                patch=patch + "\n" if patch else "",
                untracked=tuple(listed.splitlines()),
            )
    except (git.exc.GitError, ValueError, OSError):
        return Repository()


def _hash_in(record: Path) -> str:
    """Hash recorded in a version folder; "" if there is none or it cannot be read."""
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["hash"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def _installed_identity() -> str:
    package = Path(retriever.__file__).parent
    sources = sorted(package.rglob("*.py"))
    digest = digest_bytes(*(path.relative_to(package).as_posix().encode() + path.read_bytes() for path in sources))
    return f"{retriever.__version__}+{digest}"


def _user_sources(recipe: Recipe) -> dict[str, Path]:
    parts: list[Any] = [*recipe.search.values(), *recipe.own.values()]
    for survey in recipe.surveys.values():
        parts += [survey.observatory, survey.reducer]
    roots = [definition_of(stage.run) for stage in recipe.stages]
    roots += [root for part in parts for root in definitions_of(part)]
    return user_modules(*dict.fromkeys(roots))


def environment() -> dict[str, str]:
    """Versions of Python and of the packages that results may depend on, the machine, and numpy's instruction sets."""
    packages = (
        "numpy",
        "astropy",
        "h5py",
        "pyarrow",
        "pandas",
        "xarray",
        "sqlalchemy",
        "hydra-core",
        "omegaconf",
        "scipy",
        "pyvo",
        "httpx",
    )
    record = {"python": platform.python_version(), "machine": platform.machine(), "system": sys.platform}
    record["simd"] = _simd()
    for name in packages:
        try:
            record[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            record[name] = "not installed"
    return record


def _simd() -> str:
    """Instruction sets of the processor that numpy uses, on which the last bit of its functions depends."""
    config = np.show_config(mode="dicts")
    extensions = config.get("SIMD Extensions", {}) if isinstance(config, dict) else {}
    return " ".join([*extensions.get("baseline", []), *extensions.get("found", [])]) or "unknown"


def new_run_name() -> str:
    """Name of a run: its start in UTC, and random letters, so that runs of the same second differ."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
