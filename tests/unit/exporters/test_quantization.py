"""How int8 options become a recipe; what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onenet.calibration.recipe import INT8, X86_SAFE_LIMIT
from onenet.errors import RequestError
from onenet.exporters.options import ExportOptions
from onenet.exporters.quantization import Quantization, refuse_choices


def weight_limit(**given: Any) -> int:
    return Quantization.of(ExportOptions(int8=True, **given)).recipe.weight_limit


@pytest.mark.parametrize("vnni", [True, False, None])
def test_x86_safe_auto_is_for_onnx_alone_on_a_cpu_without_vnni(vnni: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onenet.exporters.quantization.has_vnni", lambda: vnni)
    assert weight_limit(target="onnx") == (X86_SAFE_LIMIT if vnni is False else INT8.weight_limit)
    assert weight_limit(target=("onnx", "tflite")) == INT8.weight_limit
    assert weight_limit(target="onnx", x86_safe="no") == INT8.weight_limit
    assert weight_limit(target="tflite", x86_safe="yes") == X86_SAFE_LIMIT


def test_an_estimator_replaces_the_recipe_s(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"rules": [{"precision": "int8"}], "estimator": "min-max"}))
    assert Quantization.of(ExportOptions(int8=True, recipe=path)).recipe.estimator == "min-max"
    assert Quantization.of(ExportOptions(int8=True, recipe=path, estimator="mse")).recipe.estimator == "mse"
    path.write_text(json.dumps({"rules": [{"precision": "w8"}]}))
    with pytest.raises(RequestError, match="has no int8 rule; int8 weights alone are --precision w8"):
        Quantization.of(ExportOptions(int8=True, recipe=path))


def test_what_only_int8_has_a_use_for_is_named() -> None:
    refuse_choices(ExportOptions())
    with pytest.raises(RequestError, match="--estimator, --x86-safe, --max-drop only changes int8"):
        refuse_choices(ExportOptions(estimator="mse", x86_safe="yes", max_drop=0))
