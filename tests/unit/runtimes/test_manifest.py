"""A manifest is read and checked once."""

from __future__ import annotations

import pytest

from onenet.base.tiles import Tiling
from onenet.runtimes.manifest import Manifest, parse_manifest
from onenet.spec import ClassSpec

TENSOR = {"name": "image", "role": "image", "shape": [1, 3, 8, 8], "layout": "NCHW", "dtype": "float32"}
LEAST = {"target": "onnx", "precision": "fp32", "inputs": [TENSOR], "outputs": [TENSOR], "golden": {}}
WRONG = {
    "target": 3,
    "precision": "fp32\n",
    "inputs": [],
    "outputs": [{**TENSOR, "shape": [-1, 3, 8, 8]}],
    "name": ["a"],
    "task": 1,
    "io": {},
    "classes": [{"name": "a", "colour": "red"}],
    "source": "here",
    "tiling": {"patch": 0},
    "lowering": {"target_rules": [{"rule": 1}]},
    "calibration": "abc",
}


def test_what_is_not_there_has_a_default() -> None:
    manifest = parse_manifest(LEAST)
    assert (manifest.target, manifest.precision, manifest.io) == ("onnx", "fp32", "float")
    assert manifest.inputs[0].shape == (1, 3, 8, 8)
    assert (manifest.name, manifest.task, manifest.tiling, manifest.calibration_id) == (None, None, None, None)
    assert not manifest.untrained and manifest.content is LEAST


def test_what_is_there_is_typed() -> None:
    given = {
        **LEAST,
        "classes": [{"name": "cat", "colour": "#102030"}],
        "source": {"weights": "random"},
        "tiling": {"patch": 8, "halo": [16, None]},
        "lowering": {"target_rules": [{"rule": "winograd", "applied": 1}]},
        "calibration": {"id": "abc", "samples": 8},
    }
    manifest = parse_manifest(given)
    assert manifest.classes == (ClassSpec("cat", "#102030"),)
    assert manifest.tiling == Tiling(8, (16, None))
    assert manifest.target_rules == ("winograd",)
    assert manifest.calibration_id == "abc"
    assert manifest.untrained


@pytest.mark.parametrize("key", WRONG)
def test_an_entry_of_another_kind_is_refused(key: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse_manifest({**LEAST, key: WRONG[key]})


@pytest.mark.parametrize("key", LEAST)
def test_what_is_needed_is_needed(key: str) -> None:
    rest = {name: value for name, value in LEAST.items() if name != key}
    if key == "golden":  # whether it is there, manifest_of asks; what is in it, read_golden
        assert isinstance(parse_manifest(rest), Manifest)
    else:
        with pytest.raises(KeyError, match=key):
            parse_manifest(rest)
