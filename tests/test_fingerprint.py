import sys
from pathlib import Path

import pytest

from retriever import fingerprint as module
from retriever.errors import ConfigError
from retriever.fingerprint import bare_source, code_of, fingerprint, user_modules


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path, forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("fp_")]:
        del sys.modules[name]
    forget()


def forget() -> None:
    for cached in (module._read_module, module._spec, module._source_path):
        cached.cache_clear()


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    forget()


def test_comments_docstrings_and_blank_lines_do_not_count() -> None:
    plain = 'def f(x):\n    y = "# no comment"\n    return y + f"{x}#{x!r}"\n'
    told = (
        '"""Module."""\n\n# a comment\ndef f(x):  # another\n    """Say\n    much."""\n\n'
        '    y = "# no comment"  # é\n    return y + f"{x}#{x!r}"\n\n'
    )
    assert bare_source(told) == bare_source(plain)


@pytest.mark.parametrize("change", ["x = 2", "x = 1\ny = 1", "x = '# 1'", "def x(): pass"])
def test_code_counts(change: str) -> None:
    assert bare_source(change) != bare_source("x = 1")


def test_continued_strings_and_form_feeds_survive() -> None:
    text = 'a = """one # two\n\n  three"""  # four\n\x0c\nb = ("x"  # five\n     "y")\n'
    scope: dict[str, str] = {}
    exec(bare_source(text), scope)
    assert scope["a"].split() == ["one", "#", "two", "three"]
    assert scope["b"] == "xy"


def test_helpers_are_followed_and_libraries_are_not(modules: Path) -> None:
    write(modules, "fp_main.py", "import numpy\nimport fp_helper\nfrom fp_pack.inner import thing\n")
    write(modules, "fp_helper.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import fp_unseen\n")
    write(modules, "fp_unseen.py", "")
    write(modules, "fp_pack/__init__.py", "")
    write(modules, "fp_pack/inner.py", "from . import deeper\nthing = 1\n")
    write(modules, "fp_pack/deeper.py", "")
    assert set(code_of("fp_main")) == {"fp_main", "fp_helper", "fp_pack.inner", "fp_pack.deeper", "fp_pack"}
    assert set(user_modules("fp_main")) == set(code_of("fp_main"))


def test_a_changed_helper_changes_the_fingerprint_and_its_comment_does_not(modules: Path) -> None:
    write(modules, "fp_main.py", "import fp_helper\n")
    write(modules, "fp_helper.py", "x = 1\n")
    before = fingerprint("fp_main")
    write(modules, "fp_helper.py", "# why\nx = 1\n")
    assert fingerprint("fp_main") == before
    write(modules, "fp_helper.py", "x = 2\n")
    assert fingerprint("fp_main") != before


def test_the_answer_does_not_depend_on_what_is_imported(modules: Path) -> None:
    write(modules, "fp_main.py", "def f():\n    from fp_pack.inner import thing\n")
    write(modules, "fp_pack/__init__.py", "")
    write(modules, "fp_pack/inner.py", "thing = 1\n")
    before = code_of("fp_main")
    __import__("fp_pack.inner")
    forget()
    assert code_of("fp_main") == before
    assert "fp_pack.inner" in before


def test_reduction_stands_on_statistics_and_not_on_the_store() -> None:
    code = set(code_of("retriever.stages.reduce", "retriever.reducers.standard"))
    assert "retriever.statistics" in code
    assert not any(name.startswith(("retriever.store", "retriever.pipeline", "retriever.cli")) for name in code)
    assert not any(name.endswith("__init__") or name == "retriever" for name in code)


def test_a_module_without_source_or_with_broken_syntax_is_refused(modules: Path) -> None:
    with pytest.raises(ConfigError, match="no Python source"):
        fingerprint("math")
    write(modules, "fp_main.py", "def f(:\n")
    with pytest.raises(ConfigError, match="line 1"):
        fingerprint("fp_main")


def test_code_that_changed_on_disk_after_it_was_loaded_is_refused(tmp_path: Path, monkeypatch) -> None:
    import importlib
    import sys

    from retriever.fingerprint import files_of, refuse_changed

    (tmp_path / "loaded_once.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("loaded_once")
    refuse_changed(files_of(["loaded_once"]))
    refuse_changed(files_of(["loaded_once"]))
    (tmp_path / "loaded_once.py").write_text("x = 2\n")
    with pytest.raises(ConfigError, match="loaded_once changed"):
        refuse_changed(files_of(["loaded_once"]))
    del sys.modules["loaded_once"]
    importlib.import_module("loaded_once")
    refuse_changed(files_of(["loaded_once"]))
