import dataclasses
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from retriever.config import CONFIG_FOLDER, build, build_setup, frozen_yaml, load_frozen, typed
from retriever.errors import ConfigError
from retriever.pipeline.session import make_recipe
from retriever.pipeline.settings import Paths


def composed(*overrides: str):
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        return compose("config", list(overrides))


def recipe(*overrides: str):
    return make_recipe(build_setup(composed(*overrides)), 0, Paths())


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIG_FOLDER / group).glob("*.yaml"))


SINGLE = [
    (group, name)
    for group in ("catalog", "quality", "finder", "analysis", "simulator", "executor", "observatory")
    for name in choices(group)
]


@pytest.mark.parametrize(("group", "name"), SINGLE)
def test_every_choice_builds_and_names_every_parameter(group: str, name: str) -> None:
    config = composed(f"{group}={name}")
    setup = build_setup(config)
    built = setup.components[group] if group in setup.components else next(iter(setup.observatories.values()))
    node = config[group] if group in config else next(iter(config.observatories.values()))
    assert set(node) - {"_target_"} == {spec.name for spec in dataclasses.fields(built)}


@pytest.mark.parametrize("name", choices("reducer"))
def test_every_reducer_builds_and_names_every_parameter(name: str) -> None:
    config = composed(f"reducer@reducers.demo={name}")
    built = build_setup(config).reducers["demo"]
    assert set(config.reducers.demo) - {"_target_"} == set(built.__dataclass_fields__)


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_experiment_builds(name: str) -> None:
    build_setup(composed(f"experiment={name}", "paths.lightcurves=x"))


CHOSEN = {group: choices(group) for group in ("catalog", "simulator", "finder")}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", choices("experiment"))
def test_nothing_of_an_experiment_stays_in_a_group_that_is_chosen_otherwise(experiment: str) -> None:
    for k in range(max(map(len, CHOSEN.values()))):
        words = [f"{group}={of_group[k % len(of_group)]}" for group, of_group in CHOSEN.items()]
        chosen = composed(f"experiment={experiment}", *words)
        for group, word in zip(CHOSEN, words, strict=True):
            assert chosen[group] == composed_alone(word)[group]


@cache
def composed_alone(word: str) -> object:
    return composed(word)


VARIANTS = ("dips", "flares_tess", "transits_tess")
"""Choices that are others with some values changed."""

SEARCH_CHOICES = [(group, choice) for group in ("detrend", "finder") for choice in choices(group)]


@pytest.mark.parametrize(("group", "choice"), SEARCH_CHOICES)
def test_defaults_of_yaml_and_class_agree(group: str, choice: str) -> None:
    component = build_setup(composed(f"{group}={choice}")).components[group]
    if choice == "composite":
        assert all(finder == type(finder)() for finder in component.finders.values())
    elif choice not in VARIANTS:
        assert component == type(component)()


def test_several_surveys_with_a_reducer_each() -> None:
    setup = build_setup(composed("observatory=[demo,ztf_folder]", "reducers.ztf.gap=60"))
    assert list(setup.observatories) == ["demo", "ztf"]
    assert setup.reducers["ztf"].gap == 60.0
    assert setup.reducers["demo"].gap == 0.0


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["+finder.snr_treshold=7"], "finder has no parameter 'snr_treshold'; did you mean 'snr_threshold'"),
        (
            ["+reducers.demo.columns.tim=x"],
            "reducers.demo.columns has no parameter 'tim'; did you mean 'time'",
        ),
        (["finder.snr_threshold=abc"], "finder.snr_threshold: Value 'abc'"),
        (["finder.max_events=2.5"], "finder.max_events"),
        (["finder.snr_threshold=null"], "finder.snr_threshold"),
        (["finder._target_=os.system"], "has no class 'system'"),
        (["finder._target_=no_such_module.X"], "cannot import 'no_such_module'"),
        (["finder._target_=pathlib.Path"], "no method 'find'"),
        (
            ["finder._target_=retriever.quality.standard.StandardQuality"],
            "no method 'find', which every finder needs",
        ),
        (["finder._target_=retriever.finders.peak.PeakFindr"], "did you mean 'PeakFinder'"),
        (["finder._target_=retriever.finders.peak.Other"], "no class 'Other' (known: PeakFinder)"),
        (["finder._target_=retriever.finders.peak.np"], "no class 'np'"),
        (["+findr.x=1"], "unknown group 'findr'; did you mean 'finder'"),
        (["+finder.password=hunter2"], "looks like a secret"),
        (["store.url=postgresql://me:pw@host/db"], "holds a password"),
        (["simulator.width.kind=cauchy"], "uniform, loguniform, powerlaw, normal, fixed, grid"),
        (["simulator.width=3"], "simulator.width"),
        (["~reducers.demo"], "'demo' has an observatory but no reducer"),
        (["executor.batch_size=0"], "batch_size=0"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_setup(composed(*overrides))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["os.system", "os._Environ", "numpy.ndarra", "numpy.ndarray", "ast.parse"])
def test_classes_of_libraries_are_never_offered(target: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_setup(composed(f"finder._target_={target}"))
    assert "known:" not in str(caught.value) and "did you mean" not in str(caught.value)
    assert "'find'" in str(caught.value)


def test_five_and_five_point_nought_are_one() -> None:
    assert recipe("finder.snr_threshold=5").specs == recipe("finder.snr_threshold=5.0").specs


def key(*overrides: str, stage: str, name: str = "demo") -> str:
    return recipe(*overrides).specs[name][stage].key


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("finder.snr_threshold=7", "analyze simulate"),
        ("quality.max_offset=7", "analyze simulate"),
        ("simulator=box", "simulate"),
        ("reducers.demo.gap=60", "reduce analyze simulate"),
        ("observatories.demo.survey=OTHER", "download reduce analyze simulate"),
        ("observatories.demo.epochs=7", ""),
        ("observatories.demo.wait=1", ""),
        ("executor.batch_size=7", ""),
        ("run.stop=5", ""),
        ("project.description=x", ""),
        ("catalog.size=7", ""),
        ("observatory=[demo,ztf_folder]", ""),
        ("observatory=[ztf_folder,demo]", ""),
    ],
)
def test_a_change_changes_the_keys_of_what_depends_on_it(override: str, changed: str) -> None:
    before, after = recipe().specs["demo"], recipe(override).specs["demo"]
    assert [stage for stage in before if before[stage].key != after[stage].key] == changed.split()


@dataclass(frozen=True, kw_only=True)
class Inner:
    x: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    many: dict[str, Inner] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    maybe: int | None = None


def test_dataclasses_inside_are_built_too() -> None:
    built = typed(Outer, {"inner": {"x": 2}, "many": {"a": {"x": 3}}, "words": ["u"], "maybe": 4}, "here")
    assert built == Outer(inner=Inner(x=2.0), many={"a": Inner(x=3.0)}, words=["u"], maybe=4)
    for bad, words in (
        ({"inner": {"y": 2}}, "here.inner has no"),
        ({"many": {"a": {"y": 2}}}, "here.many.a has no"),
        ({"many": {"a": 1}}, "here.many.a"),
    ):
        with pytest.raises(ConfigError, match=words):
            typed(Outer, bad, "here")


def test_classes_that_are_no_frozen_dataclasses_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "cfg_loose.py").write_text("class F:\n    def find(self, lightcurve): pass\n")
    (tmp_path / "cfg_broken.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="frozen dataclass"):
        build({"_target_": "cfg_loose.F"}, "find", "finder")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        build({"_target_": "cfg_broken.F"}, "find", "finder")
    with pytest.raises(ConfigError, match="needs a _target_"):
        build({"x": 1}, "find", "finder")


def test_the_order_of_a_config_does_not_count() -> None:
    config = composed()
    shuffled = OmegaConf.create(dict(reversed(OmegaConf.to_container(config, resolve=True).items())))
    assert make_recipe(build_setup(shuffled), 0, Paths()).specs == recipe().specs


def test_frozen_configs_with_former_names_of_parameters_are_the_present_ones(tmp_path: Path) -> None:
    config = composed("observatory=[ztf,tess]", "catalog=gaia", "catalog.mag_max=8")
    text = frozen_yaml(config)
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert frozen_yaml(load_frozen(path)) == text
    assert text.count(" cache: ") == 3
    path.write_text(text.replace(" cache: ", " inbox: "))
    loaded = load_frozen(path)
    assert frozen_yaml(loaded) == text
    built, before = build_setup(loaded), build_setup(config)
    assert built == before and built.observatories["ztf"].client.cache == str(Path("data/.answers").absolute())
