"""What config the command line asks for: overrides, config folders, and the choices that those folders have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf

from retriever.config import CONFIG_FOLDER
from retriever.errors import ConfigError

__all__ = [
    "ConfigRequest",
    "choices",
    "keys_of",
    "listed",
    "outputs_override",
    "parse_overrides",
    "shadowed",
    "values_of",
]

_PROJECT = "project"


@dataclass(frozen=True, kw_only=True)
class ConfigRequest:
    """Which config to compose.

    Parameters
    ----------
    overrides
        Words of Hydra's override grammar, such as ``finder.snr_threshold=7``.
    config_dir
        Folder with further config groups, searched after retriever's own.
    config_name
        Name of the primary config file, without ``.yaml``.

    Raises
    ------
    ConfigError
        When `config_dir` is not a folder.
    """

    overrides: tuple[str, ...] = ()
    config_dir: str | None = None
    config_name: str = "config"

    def __post_init__(self) -> None:
        if self.config_dir is not None and not Path(self.config_dir).is_dir():
            raise ConfigError(
                f"--config-dir {self.config_dir} is not a folder; give the folder that holds your config groups"
            )

    @classmethod
    def here(
        cls, overrides: Sequence[str] = (), config_dir: str | None = None, config_name: str | None = None
    ) -> ConfigRequest:
        """A request as it is typed in the working folder.

        Where that has a file ``conf/project.yaml``, ``conf`` is the config folder; a ``project.yaml`` in the config
        folder is the primary config. What is given counts more.
        """
        if config_dir is None and Path("conf", f"{_PROJECT}.yaml").is_file():
            config_dir = "conf"
        if config_name is None:
            has_project = config_dir is not None and Path(config_dir, f"{_PROJECT}.yaml").is_file()
            config_name = _PROJECT if has_project else "config"
        return cls(overrides=tuple(overrides), config_dir=config_dir, config_name=config_name)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Config trees in the order in which they are searched."""
        own = () if self.config_dir is None else (Path(self.config_dir).absolute(),)
        return (CONFIG_FOLDER, *own)


# ---- overrides -----------------------------------------------------------------------------------------------------


def listed(value: object) -> list[object]:
    """A value of an override as a list: the value itself if it is one, else a list of it alone."""
    return list(value) if isinstance(value, list) else [value]


def parse_overrides(words: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Read overrides; `loader` is needed for those that name choices by a pattern, as in ``finder=glob(*)``."""
    try:
        return list(OverridesParser.create(loader).parse_overrides(list(words)))
    except OverrideParseException as error:
        raise ConfigError(f"cannot read {error.override!r}; write KEY=VALUE, see retriever run --help") from error


def outputs_override(words: Sequence[str]) -> str | None:
    """The outputs folder that overrides name; None where they name none.

    Examples
    --------
    >>> outputs_override(["finder=peak", "paths.outputs=elsewhere"])
    'elsewhere'
    """
    named = [str(override.value()) for override in parse_overrides(words) if override.key_or_group == "paths.outputs"]
    return named[-1] if named else None


# ---- the config tree -----------------------------------------------------------------------------------------------


def choices(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Choices of each config group, from the files of some config trees.

    Examples
    --------
    >>> choices([CONFIG_FOLDER])["store"]
    ['postgres', 'sqlite']
    """
    names: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.rglob("*.yaml"):
            if path.parent != folder:
                names.setdefault(path.parent.relative_to(folder).as_posix(), set()).add(path.stem)
    return {group: sorted(names[group]) for group in sorted(names)}


def shadowed(request: ConfigRequest) -> list[tuple[Path, Path]]:
    """Files of `config_dir` that retriever's own config tree has too, so that they are not used; and their names."""
    return [
        (path, path.relative_to(folder))
        for folder in request.folders[1:]
        if folder != CONFIG_FOLDER
        for path in sorted(folder.rglob("*.yaml"))
        if (CONFIG_FOLDER / path.relative_to(folder)).exists()
    ]


def _addresses(node: object, prefix: str = "") -> Iterator[str]:
    """Addresses of all keys of a config, as plain data."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _addresses(value, f"{prefix}{key}.")


def values_of(config: DictConfig) -> dict[str, object]:
    """Values of a config by their addresses; interpolations stay as they are written."""
    return dict(_leaves(OmegaConf.to_container(config, resolve=False)))


def _leaves(node: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if isinstance(value, Mapping) and value:
                yield from _leaves(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value


def keys_of(config: DictConfig) -> set[str]:
    """Addresses of all keys of a config, such as ``finder`` and ``finder.snr_threshold``."""
    return set(_addresses(OmegaConf.to_container(config, resolve=False)))
