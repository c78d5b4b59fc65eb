"""The rooms of the house: every module is tested, exported and documented."""

import ast
import importlib
from pathlib import Path

import pytest

from tests.conftest import ROOT

MODULES = sorted(path for path in (ROOT / "retriever").rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_what_is_exported_is_there_and_documented(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    for word in module.__all__:
        assert hasattr(module, word)
        if callable(getattr(module, word)):
            assert getattr(module, word).__doc__, f"{name}.{word} has no docstring"


def test_packages_hold_no_code() -> None:
    for path in (ROOT / "retriever").glob("*/**/__init__.py"):
        kinds = {type(node).__name__ for node in ast.parse(path.read_text()).body}
        # these two are also used as a whole, and import their names when they are asked for
        names_things = path.parent.name in ("finders", "plots")
        assert kinds <= {"Expr", "Assign"} | ({"ImportFrom", "If"} if names_things else set()), path


def test_the_package_itself_holds_lazy_exports_only() -> None:
    body = ast.parse((ROOT / "retriever" / "__init__.py").read_text()).body
    assert {type(node).__name__ for node in body} == {"Expr", "ImportFrom", "Assign", "If"}
    (exports,) = (node for node in body if isinstance(node, ast.If))
    assert {type(node).__name__ for node in exports.body} == {"ImportFrom"}
    assert [node.name for node in exports.orelse if isinstance(node, ast.FunctionDef)] == ["__getattr__", "__dir__"]
