"""Our own artifacts in the forms that lowering could choose between, for ``bench/forms.py``; no part of the comparison."""

from __future__ import annotations

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


def native_pixels() -> None:
    """Pixel shuffle and unshuffle as each converter writes them, planes concatenated."""
    from onenet import lowering

    for target, rules in lowering.TARGET_RULES.items():
        lowering.TARGET_RULES[target] = tuple(rule for rule in rules if rule is lowering.winograd)


def direct() -> None:
    """Every 3x3 convolution computed directly, as with --no-winograd."""
    from onenet.lowering import winograd

    winograd.rewrite = do_nothing


def winograd_from(worth: float) -> Callable[[], None]:
    def change() -> None:
        from onenet.lowering import winograd

        winograd.WORTH = worth

    return change


def chain() -> None:
    """The linear convolutions behind the decoder's last ReLU one after the other."""
    from onenet.lowering import linear_chain

    linear_chain.rewrite = do_nothing


def one_channel() -> None:
    """The spatial convolution as the paper writes it: Conv1d(1 -> 1), reflect pad in slices."""
    from onenet.lowering import spatial_conv

    spatial_conv.rewrite = do_nothing


def blocks_of(size: int) -> Callable[[], None]:
    def change() -> None:
        from onenet.lowering import spatial_conv

        spatial_conv.BLOCK = size

    return change


def signed() -> None:
    """int8 activations in ONNX, as they come out of calibration."""
    from onenet.export import onnx

    onnx.with_uint8_inside = do_nothing


FORMS: dict[str, tuple[str, Callable[[], None]]] = {
    CHOSEN: ("as exported", do_nothing),
    "native-pixels": ("pixel shuffle and unshuffle left to the converter", native_pixels),
    "one-channel": ("spatial convolution of one channel", one_channel),
    "blocks-8": ("spatial convolution in blocks of 8", blocks_of(8)),
    "blocks-32": ("spatial convolution in blocks of 32", blocks_of(32)),
    "signed": ("signed activations", signed),
    "chain": ("the linear convolutions at the end one by one", chain),
    "direct": ("3×3 convolutions computed directly", direct),
    "winograd-80": ("Winograd's method from 80 on, 256 to 128 channels", winograd_from(80)),
    "winograd-0": ("Winograd's method everywhere", winograd_from(0)),
}
ARTIFACTS = [f"{target}-{precision}" for target, precision in itertools.product(("tflite", "onnx"), ("fp32", "int8"))]
ONLY = {"signed": ("onnx-int8",), **dict.fromkeys(("direct", "winograd-80", "winograd-0"), ("tflite-fp32", "onnx-fp32"))}
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
