"""One artifact to make, and the module that a converter is given for it."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.lowering import ArrangedModule, arrange
from onenet.model import Model
from onenet.spec import TensorSpec
from onenet.targets import target_of


@dataclass(frozen=True)
class LeftOut:
    """Lowering rules whose form the converter cannot take."""

    rules: tuple[str, ...]
    reason: str
    """What the converter said to it, on one line."""


@dataclass(frozen=True)
class Job:
    """One artifact to make. ``quantized`` is set exactly when ``precision`` is int8 or w8."""

    model: Model
    quantized: QuantizedModel | None
    target: str
    precision: str
    io: str = "float"
    """``float``, or ``int8`` for integer inputs and outputs."""
    winograd: bool = True
    """In fp32, compute wide 3x3 convolutions by Winograd's method. fp16 and w8 are asked for to be small, and it is larger."""
    left_out: LeftOut | None = None
    """Rules that this artifact is made without."""

    @property
    def stem(self) -> str:
        """``MODEL_PRECISION``, with what else is not the default: recipe, output, io, convolutions, tile."""
        role = self.model.spec.outputs[0].role
        parts = [self.model.spec.name, self.precision]
        parts += [recipe_text(self.quantized)] if self.quantized and recipe_text(self.quantized) else []
        parts += [role] if role in ("probabilities", "labels") else []
        parts += ["int8io"] if self.io == "int8" else []
        parts += ["direct"] if self.precision == "fp32" and not self.winograd else []
        parts += [f"tile{tile_text(self.model)}"] if self.model.tiling and self.model.tiling.image_size else []
        return "_".join(parts)

    @functools.cached_property
    def arranged(self) -> ArrangedModule:
        """What the converter reads: the float or calibrated module in the target's own form."""
        module: nn.Module = self.model.module
        if self.quantized is not None:
            module = self.quantized.open_form if target_of(self.target).open_weights else self.quantized.reference
        winograd = self.winograd and self.precision == "fp32"
        without = self.left_out.rules if self.left_out else ()
        return arrange(module, self.model.example(), self.target, winograd=winograd, without=without)

    @functools.cached_property
    def program(self) -> ExportedProgram:
        """``arranged`` as converters read it, every operator under the name that it has in the artifact. Nobody changes it."""
        with quiet():
            return torch.export.export(self.arranged.module, self.model.example(), strict=False)

    @property
    def file_name(self) -> str:
        """The artifact's file name."""
        return self.stem + target_of(self.target).suffix


def recipe_text(quantized: QuantizedModel) -> str:
    """A recipe's name as a part of a file name; empty for those that the precision names."""
    text = re.sub(r"[^a-z0-9]+", "-", quantized.record.recipe.name.lower())
    return text.removeprefix("int8").removeprefix("w8").strip("-")


def tile_text(model: Model) -> str:
    """``64``, or ``144x256`` where a tile is no square."""
    _, _, height, width = model.spec.inputs[0].shape
    return str(height) if height == width else f"{height}x{width}"


class Named(nn.Module):
    """The deploy form with outputs as a dictionary of names, NHWC at both ends where ``nhwc`` says so."""

    def __init__(self, module: nn.Module, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], nhwc: bool) -> None:
        super().__init__()
        self.module = module
        self.inputs, self.outputs, self.nhwc = inputs, outputs, nhwc

    def forward(self, **feeds: Tensor) -> dict[str, Tensor]:
        """Inputs by name -> outputs by name, in the target's order of axes."""
        arguments = [self.turn(feeds[spec.name], spec, [0, 3, 1, 2]) for spec in self.inputs]
        turned: dict[tuple[int, str], Tensor] = {}
        results = as_list(self.module(*arguments))
        for spec, result in zip(self.outputs, results, strict=True):
            key = (id(result), spec.layout)
            if key not in turned:  # litert-torch (0.10) loses count of a value that is turned for two outputs
                turned[key] = self.turn(result, spec, [0, 2, 3, 1])
        return {spec.name: turned[id(result), spec.layout] for spec, result in zip(self.outputs, results, strict=True)}

    def turn(self, value: Tensor, spec: TensorSpec, order: list[int]) -> Tensor:
        """An image with its axes in another order; other tensors stay."""
        return value.permute(order) if self.nhwc and spec.layout == "NCHW" else value


def as_list(result: Tensor | list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    """What a module returns, as a list of tensors."""
    return [result] if isinstance(result, Tensor) else list(result)
