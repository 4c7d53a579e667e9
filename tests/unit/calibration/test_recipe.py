"""Recipes: the first rule that fits decides, what is written is what is read, and mistakes are one line."""

from __future__ import annotations

import json
import os
import reprlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onenet.base.data import LONGEST_JSON
from onenet.calibration.estimators import ESTIMATOR_NAMES
from onenet.calibration.recipe import INT8, PRECISIONS, RECIPES, W8, X86_SAFE_LIMIT, Recipe, Rule, x86_safe
from onenet.errors import RequestError

RULES = [{"precision": "int8"}]


def refused(data: Any) -> str:
    with pytest.raises(RequestError) as caught:
        Recipe.from_dict(data)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


def not_loaded(path: Path) -> str:
    with pytest.raises(RequestError) as caught:
        Recipe.load(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    assert len(text) < 400 + len(str(path))
    return text


# --- rules ------------------------------------------------------------------


def test_the_first_rule_that_fits_decides() -> None:
    head, linears, rest = Rule("float", name="conv2d_2[4-6]"), Rule("w8", operator="linear"), Rule("int8")
    recipe = Recipe("mixed", (head, linears, rest))
    found = {(op, name): recipe.precision_of(op, name) for op, name in LAYERS}
    assert found == dict(zip(LAYERS, ["int8", "float", "float", "int8", "w8", "int8"], strict=True))
    turned = Recipe("turned", (rest, linears, head))
    assert {turned.precision_of(*each) for each in LAYERS} == {"int8"}


LAYERS = [
    ("conv2d", "conv2d"),
    ("conv2d", "conv2d_24"),
    ("conv2d", "conv2d_26"),
    ("conv2d", "conv2d_27"),
    ("linear", "linear_1"),
    ("conv1d", "conv1d"),
]


def test_a_rule_needs_both_patterns() -> None:
    rule = Rule("float", operator="conv*", name="*_1")
    assert rule.fits("conv2d", "conv2d_1")
    assert not rule.fits("conv2d", "conv2d_2")
    assert not rule.fits("linear", "linear_1")
    assert not rule.fits("Conv2d", "conv2d_1")


def test_what_no_rule_fits_is_float() -> None:
    recipe = Recipe("one layer", (Rule("int8", name="conv2d_3"),))
    assert recipe.precision_of("conv2d", "conv2d_3") == "int8"
    assert recipe.precision_of("conv2d", "conv2d_30") == "float"


def test_images_are_needed_for_int8_activations_only() -> None:
    assert INT8.calibrated
    assert not W8.calibrated
    assert not Recipe("plain", (Rule("float"),)).calibrated
    assert Recipe("mixed", (Rule("w8", name="a"), Rule("int8"))).calibrated


def test_named_recipes() -> None:
    assert {name: [rule.precision for rule in recipe.rules] for name, recipe in RECIPES.items()} == {
        "int8": ["int8"],
        "w8": ["w8"],
    }
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    assert (INT8.estimator, INT8.bias_correction, INT8.weight_limit) == ("auto", True, 127)
    assert not W8.bias_correction


def test_x86_safe_changes_the_weights_alone() -> None:
    safe = x86_safe(INT8)
    assert safe == replace(INT8, name="int8, x86-safe", weight_limit=63)
    assert 2 * 255 * X86_SAFE_LIMIT <= 2**15 - 1 < 2 * 255 * (X86_SAFE_LIMIT + 2)


# --- as data ----------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    [
        INT8,
        W8,
        x86_safe(INT8),
        Recipe("all", tuple(Rule(each, "conv*", f"{each}_*") for each in PRECISIONS), "entropy", False, 1),
    ],
    ids=lambda recipe: recipe.name,
)
def test_a_recipe_survives_json(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.as_dict()))
    assert Recipe.load(path) == recipe == Recipe.from_dict(recipe.as_dict())


def test_the_least_recipe() -> None:
    assert Recipe.from_dict({"rules": RULES}) == replace(INT8, name="custom")


@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_every_estimator_can_be_asked_for(name: str) -> None:
    assert Recipe.from_dict({"rules": RULES, "estimator": name}).estimator == name


DEEP: Any = []
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "a recipe is an object with"),
        ([], "a recipe is an object with"),
        ("int8", "a recipe is an object with"),
        ({}, "a recipe is an object with"),
        ({"rules": []}, "a recipe is an object with"),
        ({"rules": {"precision": "int8"}}, "a recipe is an object with"),
        ({"rules": RULES, "weights": 63}, "a recipe has no 'weights'; it has name, rules, estimator"),
        ({"rules": RULES, "x" * 9999: 63}, "a recipe has no 'xxx"),
        ({"rules": RULES, **{f"key {i}": 0 for i in range(999)}}, "a recipe has no 'key 0', 'key 1', 'key 10'; it has"),
        ({"rules": ["int8"]}, "a rule has the precision 'int8'; supported: int8, w8, float"),
        ({"rules": [{}]}, "a rule has the precision None"),
        ({"rules": [{"precision": "int4"}]}, "a rule has the precision 'int4'; supported: int8, w8, float"),
        ({"rules": [{"precision": ["int8"]}]}, "a rule has the precision ['int8']"),
        ({"rules": [{"precision": "int16" * 9999}]}, "a rule has the precision 'int16"),
        ({"rules": [{"precision": DEEP}]}, "a rule has the precision [[["),
        ({"rules": [DEEP]}, "a rule has the precision [[["),
        ({"rules": [*RULES, {"precision": "float", "layer": "a"}]}, "a rule has no 'layer'; it has precision, operator, name"),
        ({"rules": [{"precision": "int8", "name": 7}]}, "a rule's operator and name are texts"),
        ({"rules": RULES, "name": 7}, "a recipe's name is a text"),
        ({"rules": RULES, "bias_correction": 1}, "its bias_correction true or false"),
        ({"rules": RULES, "estimator": "max"}, "estimator 'max' is not known; supported: auto, min-max, percentile, mse"),
        ({"rules": RULES, "estimator": ["mse"]}, "estimator ['mse'] is not known"),
        ({"rules": RULES, "estimator": None}, "estimator None is not known"),
        ({"rules": RULES, "weight_limit": 0}, "weight_limit is 0; expected 1 to 127"),
        ({"rules": RULES, "weight_limit": 128}, "weight_limit is 128"),
        ({"rules": RULES, "weight_limit": 63.0}, "weight_limit is 63.0"),
        ({"rules": RULES, "weight_limit": True}, "weight_limit is True"),
        ({"rules": RULES, "weight_limit": DEEP}, "weight_limit is [[["),
    ],
    ids=reprlib.repr,
)
def test_mistakes_are_named(data: Any, says: str) -> None:
    assert says in refused(data)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no recipe: Expecting value"),
        (b"{", "is no recipe: Expecting property name"),
        (b'{"rules": [{"precision": "int8"}]', "is no recipe: Expecting ',' delimiter"),
        (b"\xff\xfe\x00", "is no recipe"),
        (b"[" * 100_000, "is no recipe: nested too deeply"),
        (b'{"rules":' * 100_000, "is no recipe: nested too deeply"),
        (b'{"rules": [{"precision": ' + b"[" * 900 + b"]" * 900 + b"}]}", "a rule has the precision [[["),
        (b"[]", "a recipe is an object with"),
        (b"1" * 10_000, "is no recipe"),
        (b" " * (LONGEST_JSON + 1), f"is no recipe: {LONGEST_JSON + 1} bytes"),
        (b'{"rules": [{"precision": "int9"}]}', "precision 'int9'"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_files_that_are_no_recipe(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(content)
    assert says in not_loaded(path)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    assert "No such file" in not_loaded(tmp_path / "none.json")
    assert "not a regular file" in not_loaded(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in not_loaded(tmp_path / "pipe")
    assert "not a regular file" in not_loaded(Path("/dev/zero"))
