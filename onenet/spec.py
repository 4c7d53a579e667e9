"""What an app must know of a model: named tensors with roles, classes, and how pixels become numbers.

Plain data, no torch: a Raspberry Pi or a report reads it as easily as the exporter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Role = Literal["image", "mask", "scalar", "embedding", "logits", "probabilities", "labels", "scores"]
Layout = Literal["NCHW", "NHWC", "NC", "other"]
"""Order of the axes. ``NC``: one row of class values for each image, as a classifier gives."""

INSIDE = "inside the model: it takes RGB in [0, 1]"
"""How pixels are normalised, as a manifest says it: an app has nothing to do."""
PALETTE = ["#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"]
"""Okabe and Ito's colour-blind-safe colours; classes beyond the eighth start again."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output. ``shape`` is complete (batch included) and in the order that ``layout`` names.

    ``value = (stored - zero_point) * scale`` where the tensor is stored in int8; both are None in float.
    ``value_range`` is what the values mean, e.g. (0, 1) for RGB.
    """

    name: str
    role: Role
    shape: tuple[int, ...]
    layout: Layout = "other"
    dtype: str = "float32"
    value_range: tuple[float, float] | None = None
    scale: float | None = None
    zero_point: int | None = None

    @property
    def has_channels(self) -> bool:
        """Whether axis 1 of the canonical tensor holds channels or classes."""
        return self.layout != "other"

    def in_layout(self, layout: Layout) -> TensorSpec:
        """The same tensor with its four axes in another order; tensors of other ranks stay as they are."""
        if len(self.shape) != 4 or self.layout == layout or not {self.layout, layout} <= {"NCHW", "NHWC"}:
            return self
        shape = tuple(self.shape[self.layout.index(axis)] for axis in layout)
        return replace(self, shape=shape, layout=layout)

    def canonical(self) -> TensorSpec:
        """The tensor as everything but the artifact itself handles it: NCHW, and float32 where it is stored in int8."""
        spec = self.in_layout("NCHW")
        return spec if self.scale is None else replace(spec, dtype="float32", scale=None, zero_point=None)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TensorSpec:
        """From a manifest's entry. Raises KeyError or TypeError where it is not one."""
        value_range = data.get("value_range")
        fields = {**data, "shape": tuple(data["shape"]), "value_range": tuple(value_range) if value_range else None}
        return cls(**fields)


@dataclass(frozen=True)
class ClassSpec:
    """One class that a network tells apart: its name and display colour (``#rrggbb``)."""

    name: str
    colour: str


def numbered_classes(count: int) -> tuple[ClassSpec, ...]:
    """Names and colours for a model that brings none."""
    return tuple(ClassSpec(f"class {k}", PALETTE[k % len(PALETTE)]) for k in range(count))


@dataclass(frozen=True)
class ModelSpec:
    """A model's signature. Nothing here assumes one image in and one mask out."""

    name: str
    task: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    classes: tuple[ClassSpec, ...] = ()
    normalisation: str = INSIDE
    source: dict[str, Any] = field(default_factory=dict)
    """Where the model came from: registry name or file, its options, its weights and their SHA-256."""
    threshold: float | None = None
    """Of a network with one output channel: the probability from which a pixel is class 1. None for any other."""
    ignore_index: int | None = None
    """The value of pixels in masks that are not scored."""

    def as_dict(self) -> dict[str, object]:
        """As a manifest holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelSpec:
        """The other way round. Raises KeyError or TypeError where it is no signature."""
        return cls(
            **{
                **data,
                "inputs": tuple(TensorSpec.from_dict(t) for t in data["inputs"]),
                "outputs": tuple(TensorSpec.from_dict(t) for t in data["outputs"]),
                "classes": tuple(ClassSpec(**c) for c in data["classes"]),
            }
        )
