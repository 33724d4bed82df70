"""Rule files of NPU targets: those that ship, and faulty ones."""

import onnx
import pytest

from msnoah.commands.check import TARGETS
from msnoah.deploy.npu.conditions import CONDITIONS
from msnoah.deploy.npu.rewrites import REWRITES, suggest_rewrite
from msnoah.deploy.npu.rules import FOLDER, When, find_target, list_targets, load_target
from msnoah.errors import ConfigError

GOOD = """\
name: small
title: A small NPU
sources:
  list: {title: Operators, version: "1", url: "https://example.org/list"}
unlisted_source: list
unlisted_says: not in the list
open_axes: {verdict: unknown, source: list}
rules:
  - operators: [Add]
    verdict: supported
    source: list
specification: {chip: small, source: list}
converter: null
"""

# replaced text, with what, what the message says
FAULTS = {
    "unknown_key": (
        "verdict: supported", "verdikt: supported",
        "small.yaml:10: unknown key 'rules.0.verdikt'; did you mean 'verdict'?"),
    "unknown_condition": (
        "source: list\nspec", "source: list\n    when: {rank_abve: 4}\nspec", "did you mean 'rank_above'?"),
    "bad_verdict": (
        "verdict: supported", "verdict: yes", "small.yaml:10: rules.0.verdict: input should be 'not_supported'"),
    "no_source": ("    source: list\nspec", "spec", "small.yaml:9: key 'rules.0.source' is missing"),
    "unknown_source": (
        "    source: list\nspec", "    source: lost\nspec", "rule 1 has the source 'lost'; known here: list"),
    "bad_rewrite": ("source: list\nspec", "source: list\n    rewrite: magic\nspec", "small.yaml:12: rules.0.rewrite"),
    "no_operators": ("[Add]", "[]", "small.yaml:9: rules.0.operators"),
    "negative_bandwidth": (
        "chip: small", "chip: small, bandwidth_gb_s: -1", "small.yaml:12: specification.bandwidth_gb_s"),
    "repeated_key": ("title: A small NPU", "name: small", "small.yaml:2: key 'name' stands here and at line 1"),
    "not_yaml": ("name: small", "name: [small", "not valid YAML"),
}


def test_a_good_file_is_read(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(GOOD)
    assert load_target(path).rules[0].operators == ("Add",)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_file_and_line(tmp_path, fault):
    old, new, message = FAULTS[fault]
    assert GOOD.count(old) == 1
    path = tmp_path / "small.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as error:
        load_target(path)
    assert message in str(error.value)


def test_a_list_is_no_rule_file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text("- name: small")
    with pytest.raises(ConfigError, match="small.yaml:1: expected the rules of an NPU"):
        load_target(path)


def test_the_command_offers_the_targets_that_have_a_file():
    assert list(TARGETS) == list_targets()


def test_every_condition_has_a_test():
    assert set(When.model_fields) == set(CONDITIONS)


@pytest.mark.parametrize("name", TARGETS)
def test_what_ships_is_sourced_and_names_operators_that_exist(name):
    target, text = find_target(name), (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    operators = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    assert target.name == name
    assert all(source.url.startswith("https://") for source in target.sources.values())
    assert {operator for rule in target.rules for operator in rule.operators} <= operators | {"*"}
    assert all(rule.says for rule in target.rules)
    assert all(rule.rewrite is None or rule.rewrite in REWRITES for rule in target.rules)
    used = {rule.source for rule in target.rules} | {target.specification.source, target.open_axes.source}
    used |= {target.unlisted_source} | ({target.newest_opset.source} if target.newest_opset else set())
    assert used == set(target.sources), "a source that no rule names"
    assert text.startswith("# ")


def test_every_rewrite_is_offered_somewhere():
    rules = [rule for name in TARGETS for rule in find_target(name).rules]
    offered = {suggest_rewrite(operator, rule.rewrite) for rule in rules for operator in rule.operators}
    assert offered - {None} == set(REWRITES.values())


@pytest.mark.parametrize("given,hint", [("rk3855", "did you mean 'rk3588'?"), ("ascend31", "did you mean 'ascend310'?"),
                                        ("tpu", "known: ane, ascend310")])
def test_an_unknown_target_answers_with_the_nearest(given, hint):
    with pytest.raises(ConfigError) as error:
        find_target(given)
    assert f"unknown target '{given}'" in str(error.value) and hint in str(error.value)
