"""The manifest of an artifact as everything inside handles it: read from JSON and checked once, here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onenet.base.data import is_whole
from onenet.base.tiles import Tiling
from onenet.runtimes.tensors import read_spec
from onenet.spec import ClassSpec, TensorSpec

SCHEMA = 1
"""The manifest schema this version reads."""
NEEDED = ("target", "precision", "inputs", "outputs", "golden")
"""Entries without which an artifact says too little to be run and checked."""
ANOTHER_TOOL = "another tool"
"""What the manifest of a file from elsewhere has for the model that it was made of."""
COLOUR = re.compile("#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Manifest:
    """What an artifact says of itself."""

    target: str
    precision: str
    inputs: tuple[TensorSpec, ...] = ()
    """As the file stores them, in its order; no axis is open."""
    outputs: tuple[TensorSpec, ...] = ()
    name: str | None = None
    """Of the model."""
    task: str | None = None
    io: str = "float"
    classes: tuple[ClassSpec, ...] = ()
    source: Mapping[str, object] = field(default_factory=dict)
    """Where the model came from; what it names is not to be trusted."""
    tiling: Tiling | None = None
    """None where it says nothing of tiles."""
    target_rules: tuple[str, ...] = ()
    """Names of the lowering rules that gave it its target's own form."""
    left_out: tuple[str, ...] = ()
    """Names of the lowering rules that it is made without."""
    left_out_reason: str = ""
    calibration_id: str | None = None
    threshold: float | None = None
    """Of an output with one channel: the probability above which a pixel is class 1."""
    content: Mapping[str, Any] = field(default_factory=dict)
    """All of it as the JSON has it. The golden pair is read from here, by ``parity.read_golden``."""

    @property
    def is_foreign(self) -> bool:
        """Whether it was written for a file that onenet did not make, and which has no golden outputs."""
        return self.source.get("model") == ANOTHER_TOOL

    @property
    def untrained(self) -> bool:
        """Whether its weights are random."""
        return self.source.get("weights") == "random"


def parse_manifest(data: Mapping[str, Any]) -> Manifest:
    """A manifest that holds every entry of ``NEEDED``.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: an entry is of another kind; a ValueError says which.
    """
    target, precision = (printable(data[key], key) for key in ("target", "precision"))
    inputs, outputs = (tensors(data[key], key) for key in ("inputs", "outputs"))
    source, calibration = (entry(data, key) for key in ("source", "calibration"))
    lowering = entry(data, "lowering")
    rules, left_out = lowering.get("target_rules") or (), entry(lowering, "left_out")
    return Manifest(
        target,
        precision,
        inputs,
        outputs,
        name=optional(data, "name"),
        task=optional(data, "task"),
        io=optional(data, "io") or "float",
        classes=tuple(read_class(each) for each in data.get("classes") or ()),
        source=source,
        tiling=read_tiling(data["tiling"]) if data.get("tiling") is not None else None,
        target_rules=tuple(printable(rule["rule"], "a rule") for rule in rules),
        left_out=tuple(printable(name, "a rule") for name in left_out.get("rules") or ()),
        left_out_reason=optional(left_out, "reason") or "",
        calibration_id=optional(calibration, "id"),
        threshold=read_share(data.get("threshold")),
        content=data,
    )


def printable(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{what} is {value!r}")
    return value


def optional(data: Mapping[str, object], key: str) -> str | None:
    value = data.get(key)
    return None if value is None else printable(value, key)


def entry(data: Mapping[str, object], key: str) -> Mapping[str, Any]:
    """An object of the manifest; an empty one where it has none."""
    value = data.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{key} is {value!r}")
    return value


def tensors(value: object, kind: str) -> tuple[TensorSpec, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{kind} holds no tensor")
    specs = tuple(map(read_spec, value))
    if any(-1 in spec.shape for spec in specs):
        raise ValueError(f"{kind} holds a tensor with an open axis")
    return specs


def read_class(data: Mapping[str, object]) -> ClassSpec:
    name, colour = data["name"], data["colour"]
    if not isinstance(name, str) or not isinstance(colour, str) or not COLOUR.fullmatch(colour):
        raise ValueError(f"a class is {data!r}")
    return ClassSpec(name, colour)


def read_share(value: object) -> float | None:
    if value is not None and not (isinstance(value, float) and 0 < value < 1):
        raise ValueError(f"threshold is {value!r}")
    return value


def read_tiling(data: Mapping[str, Any]) -> Tiling:
    """What a manifest says of tiles.

    Raises:
        AttributeError, TypeError, ValueError: a field is unknown or of another kind.
    """
    tiling = Tiling.from_dict(dict(data))
    if tiling.refused is not None and not (isinstance(tiling.refused, str) and tiling.refused.isprintable()):
        raise ValueError(f"tiling is refused with {tiling.refused!r}")
    pairs = {"halo": [0 if n is None else n for n in tiling.halo], "image_size": list(tiling.image_size or (1, 1))}
    wrong = [name for name, pair in pairs.items() if len(pair) != 2 or not all(map(is_whole, pair))]
    if wrong or not is_whole(tiling.patch, 1):
        raise ValueError(f"tiling has the {(wrong or ['patch'])[0]} {data.get((wrong or ['patch'])[0])!r}")
    return tiling
