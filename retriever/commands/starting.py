"""The command init: a working folder for a search of one's own."""

import os
import re
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from retriever.commands.command import Command, Parser, Words
from retriever.errors import ConfigError

__all__ = ["STARTING", "make_folder"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def make_folder(folder: Path) -> str:
    """Make a working folder with a config, a catalog, a finder, and a git repository where it is in none.

    Parameters
    ----------
    folder
        Where; its last part names the project.

    Returns
    -------
    str
        What was done about git.

    Raises
    ------
    ConfigError
        When the name is no name of a project, or the folder is the current one, is not empty, or cannot be written.
    """
    folder = folder.expanduser().absolute()
    name = folder.name
    if folder == Path.cwd():
        raise ConfigError("the current folder cannot be made anew; name a folder in it")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a project; use up to 64 letters, digits, - and _")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} exists; name a folder that does not, or is empty")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as temporary:
            whole = Path(temporary) / name
            _copy(files("retriever.commands") / "skeleton", whole, {"name": name, "folder": name.upper()})
            whole.rename(folder)
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror or error}") from error
    return _commit(folder)


def _copy(source: Traversable, target: Path, words: dict[str, str]) -> None:
    target.mkdir()
    for each in source.iterdir():
        if each.is_dir():
            if each.name != "__pycache__":
                _copy(each, target / each.name, words)
        else:
            text = each.read_text(encoding="utf-8")
            name = ".gitignore" if each.name == "gitignore.txt" else each.name
            filled = Template(text).safe_substitute(words) if name in ("README.md", "project.yaml") else text
            (target / name).write_text(filled, encoding="utf-8")


def _commit(folder: Path) -> str:
    """Make a repository with a first commit; gives a sentence on that."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import git

    try:
        with git.Repo(folder, search_parent_directories=True) as outer:
            return f"it is in the repository {outer.working_dir}; commit it there"
    except git.exc.InvalidGitRepositoryError:
        pass
    except git.exc.GitError as error:
        return f"no git repository was made: {' '.join(str(error).split())}"
    try:
        with git.Repo.init(folder) as repo:
            repo.git.add("--all")
            repo.git.commit("-m", "Begin a search")
            return "its first commit is made; versions record which commit made them"
    except git.exc.GitCommandNotFound:
        return "no git repository was made, because git is not installed"
    except git.exc.GitCommandError as error:
        reason = error.stderr.strip().strip("'").strip().splitlines()
        return (
            f"a git repository was made, but no commit ({reason[-1].strip() if reason else error}); commit before a run"
        )


def _declare(parser: Parser) -> None:
    parser.add_argument("folder", help="the folder to make; its name is that of the project")


def _init(words: Words) -> int:
    told = make_folder(Path(words.folder))
    print(f"made {words.folder}: {told}")
    print(f"go on with: cd {words.folder} && retriever run")
    return 0


STARTING = (
    Command(
        name="init",
        help="make a working folder for a search of your own: config, catalog, finder, git repository",
        example="init my_search",
        work=_init,
        declare=_declare,
    ),
)
