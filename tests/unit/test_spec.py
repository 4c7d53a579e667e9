"""Signatures survive JSON, and tensors change their layout."""

from __future__ import annotations

import json

from onenet.spec import PALETTE, ClassSpec, ModelSpec, TensorSpec, numbered_classes

IMAGE = TensorSpec("image", "image", (1, 3, 4, 5), "NCHW", value_range=(0.0, 1.0))
STORED = TensorSpec("logits", "logits", (1, 4, 5, 2), "NHWC", "int8", scale=0.5, zero_point=-3)


def test_a_model_survives_json() -> None:
    spec = ModelSpec("net", "segmentation", (IMAGE,), (STORED,), (ClassSpec("cell", "#0072b2"),))
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


def test_layouts() -> None:
    assert IMAGE.in_layout("NHWC").shape == (1, 4, 5, 3)
    assert IMAGE.in_layout("NHWC").in_layout("NCHW") == IMAGE
    row = TensorSpec("scores", "scores", (1, 7), "NC")
    assert row.in_layout("NHWC") == row


def test_the_canonical_tensor_is_float_and_nchw() -> None:
    canonical = STORED.canonical()
    assert (canonical.shape, canonical.layout, canonical.dtype) == ((1, 2, 4, 5), "NCHW", "float32")
    assert canonical.scale is None
    assert canonical.zero_point is None


def test_colours_of_numbered_classes_start_again() -> None:
    classes = numbered_classes(len(PALETTE) + 1)
    assert (classes[0].name, classes[-1].colour) == ("class 0", classes[0].colour)
