import importlib
import random
import sys
from pathlib import Path

import pytest

from retriever.errors import ConfigError
from retriever.fingerprint import module_files
from retriever.fingerprint.code_hashes import (
    code_of,
    definition_of,
    files_of,
    fingerprint,
    refuse_changed,
    user_modules,
)
from tests.fingerprint_package import FILES, HARMLESS, REAL, edited, write

ROOT = "fp_main:Search"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path, forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    module_files.forget()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("fp_")]:
        del sys.modules[name]
    module_files.forget()


def hash_of(folder: Path, files: dict[str, str], root: str = ROOT) -> str:
    write(folder, files)
    module_files.forget()
    return fingerprint(root)


# ---- edits -----------------------------------------------------------------------------------------------------------


def test_there_are_enough_edits() -> None:
    assert len(HARMLESS) > 60 and len(REAL) > 90


@pytest.mark.parametrize("edit", HARMLESS, ids=str)
def test_harmless_edits_keep_the_fingerprint(modules: Path, edit: tuple[str, str, str]) -> None:
    before = hash_of(modules, FILES)
    assert hash_of(modules, edited(edit)) == before


@pytest.mark.parametrize("edit", REAL, ids=str)
def test_real_edits_change_the_fingerprint(modules: Path, edit: tuple[str, str, str]) -> None:
    before = hash_of(modules, FILES)
    assert hash_of(modules, edited(edit)) != before


@pytest.mark.parametrize("seed", range(5))
def test_edits_add_up(modules: Path, seed: int) -> None:
    """Many harmless edits in a row change nothing; one real one among them does."""
    rng = random.Random(seed)
    before, files, count = hash_of(modules, FILES), dict(FILES), 0
    for name, old, new in rng.sample(HARMLESS, len(HARMLESS)):
        text = files[name].replace(old, new, 1)
        try:
            compile(text, name, "exec")
        except SyntaxError:
            continue
        files[name], count = text, count + (text != files[name])
    assert count > 30
    assert hash_of(modules, files) == before
    files["fp_pack/deep.py"] += "STEP = 12\n"
    assert hash_of(modules, files) != before


def test_fingerprints_are_the_same_on_every_python(modules: Path) -> None:
    """The digest was computed with Python 3.11.7, 3.12.1 and 3.13.0."""
    assert hash_of(modules, FILES) == "c1243e03bf30de34245bc7692e87ba010512c8bfb8c237d05dce5b72ce134557"


# ---- what is reached -------------------------------------------------------------------------------------------------


def test_definitions_are_named_and_packages_are_not_followed(modules: Path) -> None:
    write(modules, FILES)
    code = code_of(ROOT)
    assert {"fp_main:Search", "fp_main:Parent", "fp_main:", "fp_pack.numbers:scale", "fp_pack.deep:STEP"} <= set(code)
    assert {"fp_pack.shapes:Curve", "fp_pack.registry:smooth", "fp_constants:everything"} <= set(code)
    assert not {"fp_main:Alone", "fp_pack.numbers:unused", "fp_pack.numbers:describe", "fp_pack.numbers:log"} & set(
        code
    )
    assert not [
        name for name in code if name.startswith(("numpy", "retriever", "fp_pack.unused", "fp_pack.deep:lonely"))
    ]
    assert set(user_modules(ROOT)) >= {"fp_main", "fp_pack", "fp_pack.numbers", "fp_pack.deep", "fp_lazy", "fp_star"}


def test_a_whole_module_is_all_of_its_definitions(modules: Path) -> None:
    write(
        modules,
        {
            "fp_a.py": "import fp_b\nx = 1\ndef f(): pass\n",
            "fp_b.py": "y = 1\n",
            "fp_c.py": "import fp_a\nz = str(fp_a)\n",
        },
    )
    assert set(code_of("fp_a")) == {"fp_a:", "fp_a:f", "fp_a:x", "fp_b:y"}
    assert set(code_of("fp_c:z")) == {"fp_c:z", *code_of("fp_a")}  # used as a value


@pytest.mark.parametrize(
    "use",
    ["getattr(fp_b, 'f')", "[fp_b]", "vars(fp_b)", "fp_b.unknown", "fp_b.__dict__['f']"],
)
def test_a_module_used_in_another_way_counts_whole(modules: Path, use: str) -> None:
    write(modules, {"fp_a.py": f"import fp_b\n\n\ndef g():\n    return {use}\n", "fp_b.py": "def f(): pass\nx = 2\n"})
    assert {"fp_b:f", "fp_b:x"} <= set(code_of("fp_a:g"))


def test_a_module_of_which_everything_is_imported_counts_whole(modules: Path) -> None:
    write(
        modules,
        {
            "fp_a.py": "from fp_b import *\ndef f(): return g()\n",
            "fp_b.py": "from fp_c import g\nx = 1\n",
            "fp_c.py": "def g(): pass\n",
        },
    )
    assert {"fp_a:f", "fp_b:x", "fp_c:g"} <= set(code_of("fp_a:f"))


def test_names_imported_by_a_star_do_not_hide_that_files_are_read(modules: Path) -> None:
    with pytest.raises(ConfigError, match="uses open"):
        code_of_text(modules, "from numpy import *\n\ndef f():\n    return open('x')\n", "f")


def test_globals_make_the_module_count_whole(modules: Path) -> None:
    write(modules, {"fp_a.py": "def g():\n    return globals()['f']\n\n\ndef f(): pass\n"})
    assert "fp_a:f" in code_of("fp_a:g")


@pytest.mark.parametrize(
    "exports",
    [
        "def __getattr__(name):\n    if name == 'f':\n        from fp_p.inner import f\n        return f\n",
        "import importlib\n_L = {'f': '.inner'}\ndef __getattr__(name):\n    return getattr(importlib.import_module(_L[name], __name__), name)\n",
        "import importlib\n_L = {'f': ('fp_p.inner', 'f')}\ndef __getattr__(name):\n    m, n = _L[name]\n    return getattr(importlib.import_module(m), n)\n",
        "import importlib\n_L = {'inner': ['f']}\ndef __getattr__(name):\n    return getattr(importlib.import_module('.inner', __name__), name)\n",
    ],
)
def test_lazy_exports_are_followed(modules: Path, exports: str) -> None:
    write(
        modules,
        {
            "fp_a.py": "from fp_p import f\n\n\ndef g():\n    return f()\n",
            "fp_p/__init__.py": exports,
            "fp_p/inner.py": "def f(): pass\n",
        },
    )
    assert "fp_p.inner:f" in code_of("fp_a:g")


def test_relative_imports_and_packages_without_init(modules: Path) -> None:
    write(
        modules,
        {
            "fp_n/sub/a.py": "from . import b\nfrom ..c import y\ndef f(): return b.x + y\n",
            "fp_n/sub/b.py": "x = 1\n",
            "fp_n/c.py": "y = 1\n",
        },
    )
    assert set(code_of("fp_n.sub.a:f")) == {"fp_n.sub.a:f", "fp_n.sub.b:x", "fp_n.c:y"}


def test_imports_in_a_circle_end(modules: Path) -> None:
    write(
        modules,
        {
            "fp_a.py": "from fp_b import g\ndef f(): return g\n",
            "fp_b.py": "from fp_a import f\nfrom fp_b import h\ndef g(): return f, h\n",
        },
    )
    assert set(code_of("fp_a:f")) == {"fp_a:f", "fp_b:g"}


def test_unimported_subclasses_are_asked_for(modules: Path) -> None:
    text = "class A: pass\n\n\nclass B(A):\n    x = 1\n\n\ndef f():\n    return A.__subclasses__()\n"
    write(modules, {"fp_a.py": text})
    assert "fp_a:B" in code_of("fp_a:f")


def test_the_answer_does_not_depend_on_what_is_imported(modules: Path) -> None:
    write(modules, FILES)
    before = code_of(ROOT)
    importlib.import_module("fp_main")
    module_files.forget()
    assert code_of(ROOT) == before


def test_reduction_stands_on_statistics_and_not_on_the_store() -> None:
    code = set(code_of("retriever.stages.reduce:reduce", "retriever.reducers.ztf:ZTFReducer"))
    assert "retriever.statistics:median" in code and "retriever.source:Source" in code
    assert not any(name.startswith(("retriever.store", "retriever.pipeline", "retriever.verbs")) for name in code)


def test_definition_of_what_is_nested_is_what_it_lies_in() -> None:
    assert definition_of(random.Random) == "random:Random"
    assert definition_of(random.Random.seed) == "random:Random"


# ---- what cannot be followed -----------------------------------------------------------------------------------------

UNSEEN = {
    "open('x')": "open",
    "eval('1')": "eval",
    "exec('1')": "exec",
    "__import__('fp_b')": "__import__",
    "importlib.import_module('fp_b')": "importlib.import_module",
    "runpy.run_path('x')": "runpy.run_path",
    "Path('x').read_text()": "read_text",
    "Path('x').open()": "open",
    "PLACE.read_bytes()": "read_bytes",
    "np.load('x')": "numpy.load",
    "numpy.loadtxt('x')": "numpy.loadtxt",
    "[np.genfromtxt(x) for x in 'ab']": "numpy.genfromtxt",
    "(lambda: np.fromfile('x'))()": "numpy.fromfile",
    "pickle.load(None)": "pickle.load",
    "loads(b'')": "pickle.loads",
    "joblib.load('x')": "joblib.load",
    "pkgutil.get_data('a', 'b')": "pkgutil.get_data",
    "resources.files('a')": "importlib.resources.files",
    "Table.read('x')": "astropy.table.Table.read",
    "fits.open('x')": "astropy.io.fits.open",
    "pd.read_csv('x')": "pandas.read_csv",
    "helper()": "open",
}

HEAD = """
import importlib, joblib, numpy, numpy as np, pandas as pd, pickle, pkgutil, runpy
from importlib import resources
from pathlib import Path
from pickle import loads
from typing import ClassVar

from astropy.io import fits
from astropy.table import Table

PLACE = Path("x")


def helper():
    return open("x")

"""


@pytest.mark.parametrize("call", UNSEEN)
def test_what_cannot_be_followed_is_refused_unless_the_root_has_a_version(modules: Path, call: str) -> None:
    plain = f"{HEAD}class Root:\n    def find(self):\n        return {call}\n"
    hash_before = None
    for text in (plain, plain.replace("class Root:\n", "class Root:\n    version = 2\n")):  # not a string
        with pytest.raises(ConfigError) as caught:
            hash_of(modules, {"fp_a.py": text}, "fp_a:Root")
        sentence = str(caught.value)
        assert UNSEEN[call] in sentence and "fp_a:" in sentence and "line" in sentence and "version" in sentence
        assert sentence.count("\n") == 0
    for version in ('version: ClassVar[str] = "1"', 'version: ClassVar[str] = "2"'):
        after = hash_of(
            modules, {"fp_a.py": plain.replace("class Root:\n", f"class Root:\n    {version}\n")}, "fp_a:Root"
        )
        assert after != hash_before
        hash_before = after


def test_what_is_not_reached_is_not_refused(modules: Path) -> None:
    hash_of(modules, {"fp_a.py": f"{HEAD}class Root:\n    pass\n"}, "fp_a:Root")


def test_own_names_are_not_taken_for_those_of_libraries(modules: Path) -> None:
    text = (
        "def open(x): return x\n\n\ndef load(x): return x\n\n\nclass Door:\n    def open(self): return 1\n"
        "    def find(self, eval): return open(1), load(2), self.open(), eval(3), Door.open(self)\n"
    )
    assert set(code_of_text(modules, text, "Door")) == {"fp_a:Door", "fp_a:open", "fp_a:load"}


def code_of_text(folder: Path, text: str, name: str) -> dict[str, str]:
    write(folder, {"fp_a.py": text})
    return code_of(f"fp_a:{name}")


def test_compiled_own_modules_are_refused(modules: Path) -> None:
    (modules / "fp_fast.so").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"fp_a:f, line 4, uses fp_fast, which has no Python source"):
        code_of_text(modules, "import fp_fast\n\ndef f():\n    return fp_fast.run()\n", "f")


def test_the_line_and_the_helper_are_named(modules: Path) -> None:
    with pytest.raises(ConfigError, match=r"^fp_a:helper, line 2, uses open"):
        code_of_text(modules, "def helper():\n    return open('x')\n\n\nclass A:\n    x = helper()\n", "A")


def test_own_components_need_no_version() -> None:
    for stage, names in {
        "reduce": ["reducers.standard:StandardReducer", "reducers.tess:TESSReducer", "reducers.ztf:ZTFReducer"],
        "analyze": [
            "analysis.standard:StandardAnalysis",
            "quality.standard:StandardQuality",
            "finders.peak:PeakFinder",
        ],
        "simulate": ["simulators.box:BoxSimulator", "simulators.gaussian:GaussianSimulator"],
    }.items():
        assert code_of(f"retriever.stages.{stage}:{stage}", *(f"retriever.{name}" for name in names))


def test_observatories_may_read_files_and_are_still_listed() -> None:
    assert user_modules("retriever.observatories.folder:FolderObservatory") == {}


def test_roots_that_cannot_be_traced_are_refused(modules: Path) -> None:
    with pytest.raises(ConfigError, match="no Python source"):
        fingerprint("math")
    with pytest.raises(ConfigError, match="no Python source"):
        fingerprint("fp_nowhere:f")
    write(modules, {"fp_main.py": "def f(:\n", "fp_a.py": "x = 1\n"})
    with pytest.raises(ConfigError, match="line 1"):
        fingerprint("fp_main:f")
    with pytest.raises(ConfigError, match="does not define 'Gone'"):
        fingerprint("fp_a:Gone")


# ---- files -----------------------------------------------------------------------------------------------------------


def test_code_that_changed_on_disk_after_it_was_loaded_is_refused(modules: Path) -> None:
    write(modules, {"fp_loaded.py": "x = 1\n"})
    importlib.import_module("fp_loaded")
    refuse_changed(files_of(["fp_loaded"]))
    refuse_changed(files_of(["fp_loaded"]))
    write(modules, {"fp_loaded.py": "x = 2\n"})
    with pytest.raises(ConfigError, match="fp_loaded changed"):
        refuse_changed(files_of(["fp_loaded"]))
    del sys.modules["fp_loaded"]
    importlib.import_module("fp_loaded")
    refuse_changed(files_of(["fp_loaded"]))
