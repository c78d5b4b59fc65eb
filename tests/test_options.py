"""What `retriever options` says of groups, choices and parameters."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from retriever.composition.options import choice_of
from retriever.composition.request import choices
from retriever.config import CONFIG_FOLDER
from retriever.pipeline.settings import Paths, RunSettings
from tests.conftest import ROOT

SETTINGS = {"run": RunSettings, "paths": Paths}
SHIPPED = [(group, name) for group, names in choices([CONFIG_FOLDER]).items() for name in names]


def test_the_page_of_options_is_that_of_the_code(retriever) -> None:
    page = retriever("options", "--markdown").out
    assert page == (ROOT / "docs" / "options.md").read_text(), "run: retriever options --markdown > docs/options.md"
    for group, name in SHIPPED:
        assert f"### {group}={name}\n" in page


def test_every_parameter_says_what_it_means() -> None:
    silent = [
        parameter.key
        for group, name in [*SHIPPED, *((setting, "") for setting in SETTINGS)]
        for component in choice_of(group, name, settings=SETTINGS).components
        for parameter in component.parameters
        if not parameter.meaning
    ]
    assert not silent


def test_a_choice_by_hand() -> None:
    """Parameters of one class against its docstring and YAML file, read by eye."""
    (bls,) = choice_of("finder", "bls").components
    shown = {parameter.key: parameter for parameter in bls.parameters}
    assert shown["finder.transits"].meaning == "Fewest transits that must have been observed."
    assert (shown["finder.transits"].default, shown["finder.transits"].type) == ("2", "int")
    assert shown["finder.shortest"].meaning == shown["finder.longest"].meaning  # documented together
    columns = [
        parameter.key for component in choice_of("catalog", "file").components for parameter in component.parameters
    ]
    assert "catalog.columns.ra" in columns


@pytest.mark.parametrize(
    ("group", "name"), [one for one in SHIPPED if one[0] in {"finder", "detrend", "simulator", "executor"}]
)
def test_the_defaults_are_those_of_the_composed_config(retriever, stand, group: str, name: str) -> None:
    composed = OmegaConf.create(retriever("run", f"{group}={name}", "--cfg", "job").out)
    choice = choice_of(group, name)
    for component in choice.components:
        for parameter in component.parameters:
            value = OmegaConf.select(composed, parameter.key)
            assert OmegaConf.create(f"a: {parameter.default}").a == value, parameter


def test_components_of_your_own_are_shown(retriever, stand) -> None:
    Path("mine.py").write_text(
        "from dataclasses import dataclass\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Finder:\n"
        '    """Finds what I like.\n\n    Parameters\n    ----------\n    depth\n        How deep, in mag.\n    """\n\n'
        "    depth: float = 0.5\n\n    def find(self, lightcurve):\n        return {}, ()\n"
    )
    folder = Path("conf/finder")
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# Of my own.\n_target_: mine.Finder\ndepth: 0.7\n")
    assert "finder=mine  Finds what I like." in retriever("options", "finder", "--config-dir", "conf").out
    told = retriever("options", "finder=mine", "-cd", "conf").out
    assert "Of my own." in told and "finder.depth=0.7  (float)\n      How deep, in mag." in told
    (component,) = json.loads(retriever("options", "finder=mine", "-cd", "conf", "--json").out)["components"]
    assert component["parameters"] == [
        {"key": "finder.depth", "default": "0.7", "type": "float", "meaning": "How deep, in mag."}
    ]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("fnder", "did you mean"), ("finder=bsl", "bls"), ("finder=../finder/bls", "no choice"), ("nothing=peak", "no config group"),
        ("finder=broken", "cannot read"), ("finder=list", "no mapping"), ("finder=absent", "cannot find the class"),
    ],
)  # fmt: skip
def test_wrong_words_are_told_in_one_sentence(retriever, stand, what: str, sentence: str) -> None:
    folder = Path("conf/finder")
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text("_target_: [")
    (folder / "list.yaml").write_text("[1, 2]")
    (folder / "absent.yaml").write_text("_target_: nowhere.Finder\n")
    ended = retriever("options", what, "-cd", "conf")
    assert ended.code == 2 and sentence in ended.err and ended.err.count("\n") == 1
