"""What is between the operators of a Core ML program, by the names of the network's own operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onenet.base.arrays import Array
from onenet.runtimes.backends.coreml.program import Step
from onenet.runtimes.session import LayerValue

HALF = "_cast_fp16"
"""What coremltools puts behind the names of operators in float16."""
RESCALED = ("add", "sub")
"""Around these coremltools 9 divides the scales of quantized values by one of them (its pass
``distributive_quantized_binary_op_scale_normalization``): the integers stay, the scales there no longer say what they mean."""
ACTIVATIONS = ("relu", "clip", "leaky_relu")
"""What that pass sees through between a sum and its quantize operator."""


def program_layers(steps: Sequence[Step], values: Mapping[str, Array]) -> dict[str, LayerValue]:
    """Operator -> its value; a quantized one as it is stored.

    Args:
        steps: the program.
        values: what each step's first output was, by its name.
    """
    steps = [step for step in steps if not step.type.startswith("constexpr_")]
    layers = {step.outputs[0].name: LayerValue(values[step.outputs[0].name]) for step in steps}
    made = {step.outputs[0].name: step for step in steps}
    for quantize in [step for step in steps if step.type == "quantize"]:
        (source,) = names_in(quantize)["input"]
        changed = rescaled(quantize, made)
        scale_of = step_with_scale(quantize, steps) or (None if changed else quantize)
        del layers[quantize.outputs[0].name]
        for name in (source, *changed):
            layers.pop(name, None)
        if scale_of is not None:
            scale, zero_point = quantization(scale_of)
            layers[source] = LayerValue(values[quantize.outputs[0].name], scale, zero_point)
    dequantized = {step.outputs[0].name for step in steps if step.type == "dequantize"}
    return {name.removesuffix(HALF): value for name, value in layers.items() if name not in dequantized}


def quantization(step: Step) -> tuple[float, int]:
    """Scale and zero point of a quantize or dequantize operator; they are constants."""
    (scale,), (zero_point,) = step.arguments["scale"], step.arguments.get("zero_point", [np.zeros(())])
    return float(np.asarray(scale)), int(np.asarray(zero_point))


def step_with_scale(quantize: Step, steps: Sequence[Step]) -> Step | None:
    """The dequantize operator behind a quantize operator whose scale is the stored value's; None where there is none."""

    def readers(name: str, kinds: tuple[str, ...]) -> list[Step]:
        return [step for step in steps if step.type in kinds and any(name in each for each in names_in(step).values())]

    dequantized = readers(quantize.outputs[0].name, ("dequantize",))
    return next((step for step in dequantized if not readers(step.outputs[0].name, RESCALED)), None)


def rescaled(quantize: Step, made: Mapping[str, Step]) -> list[str]:
    """The sum that is quantized, with the activations behind it: values on a scale of coremltools' own. Empty for no sum.

    Args:
        quantize: the operator.
        made: each value's name -> the operator that makes it.
    """
    step, names = maker(quantize, "input", made), []
    while step is not None and step.type in (*ACTIVATIONS, *RESCALED):
        names.append(step.outputs[0].name)
        if step.type in RESCALED:
            return names
        step = maker(step, "x", made)
    return []


def maker(step: Step, argument: str, made: Mapping[str, Step]) -> Step | None:
    """The operator whose value an argument is bound to; None for an input of the program."""
    (name,) = names_in(step)[argument] or [""]
    return made.get(name)


def names_in(step: Step) -> dict[str, list[str]]:
    """The values that each argument is bound to; constants are arrays and left out."""
    return {key: [each for each in operands if isinstance(each, str)] for key, operands in step.arguments.items()}
