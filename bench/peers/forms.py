"""Our own artifacts in the forms that lowering could choose between, for ``bench/forms.py``; no part of the comparison."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.peers import Row, onenet

REQUIREMENTS: tuple[str, ...] = ()
CHOSEN = "chosen"
load = onenet.load


def do_nothing(*_: Any) -> None:
    pass


def without(*names: str) -> Callable[[], None]:
    """Lets rules match nothing, in the process that converts."""

    def change() -> None:
        for name in names:
            rule = importlib.import_module(f"onenet.lowering.rules.{name}").RULE
            rule.matches = lambda _: iter(())

    return change


def changed(module: str, **values: Any) -> Callable[[], None]:
    """Sets names of a module of ours, in the process that converts: a rule's constant, or a function to ``do_nothing``."""

    def change() -> None:
        vars(importlib.import_module(module)).update(values)

    return change


FORMS: dict[str, tuple[str, Callable[[], None]]] = {
    CHOSEN: ("as exported", do_nothing),
    "native-pixels": (
        "pixel shuffle and unshuffle left to the converter",
        without("requantize", "pixel_order", "concat_order", "pixel_reshape"),
    ),
    "one-channel": ("spatial convolution of one channel", without("spatial_conv")),
    "blocks-8": ("spatial convolution in blocks of 8", changed("onenet.lowering.rules.spatial_conv", BLOCK=8)),
    "blocks-32": ("spatial convolution in blocks of 32", changed("onenet.lowering.rules.spatial_conv", BLOCK=32)),
    "signed": ("signed activations", changed("onenet.exporters.onnx", with_uint8_inside=do_nothing)),
    "chain": ("the linear convolutions at the end one by one", without("linear_chain")),
    "direct": ("3×3 convolutions computed directly", without("winograd")),
    "winograd-2": ("Winograd's method from a gain of 2 % on", changed("onenet.lowering.rules.winograd", LEAST_GAIN=0.02)),
    "winograd-all": ("Winograd's method everywhere", changed("onenet.lowering.rules.winograd", LEAST_GAIN=-100)),
}
ARTIFACTS = [f"{target}-{precision}" for target, precision in itertools.product(("tflite", "onnx"), ("fp32", "int8"))]
ONLY = {"signed": ("onnx-int8",), **dict.fromkeys(("direct", "winograd-2", "winograd-all"), ("tflite-fp32", "onnx-fp32"))}
"""Artifacts that a form changes, where it does not change all."""
ROWS = tuple(
    Row(f"{artifact}-{form}", FORMS[form][0], artifact.split("-")[1], ours=form == CHOSEN)
    for artifact, form in itertools.product(ARTIFACTS, FORMS)
    if artifact in ONLY.get(form, ARTIFACTS)
)


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    target, _, form = row.key.split("-", 2)
    FORMS[form][1]()
    return onenet.convert(network, Row(f"{target}-{row.precision}", row.label, row.precision), out)
