"""Parameters and code of versions."""

from hypothesis import given
from hypothesis import strategies as st

from retriever.report.parameters import changed_modules, code_of_version, differing, flat_parameters, is_comparable
from tests.folders import inputs_of

CODE = st.dictionaries(st.sampled_from(["a:", "a:f", "a:g", "b:", "b:h"]), st.sampled_from("12"))


def test_parameters_have_the_addresses_of_the_config() -> None:
    flat = flat_parameters(inputs_of(5.0))
    assert flat["finder.snr_threshold"] == 5.0 and flat["observatories.demo.epochs"] == 3
    assert flat["observatories.demo._target_"] == "m.Demo" and flat["project.seed"] == 0
    assert flat["catalog.digest"] == "c" * 32
    assert not [key for key in flat if key.startswith("stage_keys")]


def test_a_nested_component_and_an_own_stage_are_flat_too() -> None:
    inner = {"class": "m.D", "fields": {"low": 1}}
    inputs = inputs_of(5.0) | {"simulator": {"class": "m.S", "fields": {"width": inner}}, "stages": {"own": inner}}
    flat = flat_parameters(inputs)
    assert (
        flat["simulator.width.low"] == 1 and flat["simulator.width._target_"] == "m.D" and flat["stages.own.low"] == 1
    )


def test_an_integer_differs_from_the_same_float() -> None:
    assert differing([{"a": 5}, {"a": 5.0}]) == ["a"]
    assert differing([{"a": None}, {}]) == []
    assert differing([{"a": 1}, {"a": 1}, {"a": 2}]) == ["a"]


def test_code_is_that_of_all_stages() -> None:
    assert code_of_version({"code": {"demo": {"reduce": {"a:f": "1"}, "analyze": {"b:g": "2"}}}}) == {
        "a:f": "1",
        "b:g": "2",
    }
    assert code_of_version({}) == {}


@given(CODE, CODE)
def test_changes_of_code_do_not_depend_on_the_order_of_versions(before, after) -> None:
    changes = changed_modules(before, after)
    assert changes == changed_modules(after, before)
    assert {name for name in changes if ":" in name} == {
        name for name in before.keys() & after.keys() if before[name] != after[name] and not name.endswith(":")
    }
    assert changed_modules(before, before) == []


def test_hashes_of_whole_modules_compare_with_each_other_alone() -> None:
    assert changed_modules({"a": "1", "b": "1"}, {"a": "2", "c": "1"}) == ["a"]
    assert is_comparable({"a": "1"}, {"a": "2"})
    assert not is_comparable({"a": "1"}, {"a:f": "1"}) and changed_modules({"a": "1"}, {"a:f": "1", "a:": "1"}) == []
