"""An artifact's file name says what is not the default."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from onenet.exporters.job import Job
from onenet.models.build import build


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "Conv2d_fp32.onnx"),
        ({"target": "coreml", "precision": "fp16"}, "Conv2d_fp16.mlpackage"),
        ({"target": "tflite", "winograd": False}, "Conv2d_fp32_direct.tflite"),
        ({"precision": "fp16", "winograd": False}, "Conv2d_fp16.onnx"),
        ({"precision": "int8", "io": "int8"}, "Conv2d_int8_int8io.onnx"),
    ],
)
def test_file_names(given: dict[str, Any], name: str) -> None:
    model = build(nn.Conv2d(3, 2, 1), input_size=(8, 8))
    assert Job(model, None, **{"target": "onnx", "precision": "fp32", **given}).file_name == name


def test_an_output_of_another_role_is_named() -> None:
    model = build(nn.Conv2d(3, 2, 1), input_size=(8, 8), output="labels")
    assert Job(model, None, "onnx", "fp32").file_name == "Conv2d_fp32_labels.onnx"
