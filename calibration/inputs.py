"""What a model is fed: one array for each of its inputs, by the input's name.

Everything that does not fit is refused in one line that names the input. Loads no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from onenet.base.arrays import Array
from onenet.base.text import shape_text
from onenet.errors import RequestError
from onenet.model import Model
from onenet.spec import ModelSpec, TensorSpec

UNNAMED = ""
"""Name of an array of which nobody has said which input it is for: the only input of a model, such as its image."""


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest(inputs: Mapping[str, Array]) -> str:
    """SHA-256 of one array's bytes; of several arrays, of their names and digests in name order."""
    if len(inputs) == 1:
        (array,) = inputs.values()
        return sha256(array.tobytes())
    return sha256("".join(f"{name}\0{sha256(inputs[name].tobytes())}\n" for name in sorted(inputs)).encode())


def named(spec: ModelSpec, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays in the order of the model's inputs; one without a name under the name of the only input.

    Raises:
        RequestError: an input is missing, unknown or without a name; names it and what the model takes.
    """
    names = [tensor.name for tensor in spec.inputs]
    if len(names) == 1 and list(inputs) == [UNNAMED]:
        return {names[0]: inputs[UNNAMED]}
    takes = f"{spec.name} takes {', '.join(names)}"
    if UNNAMED in inputs:
        raise RequestError(f"a sample is an array without a name; {takes}: give an .npz, or a dictionary, of these names")
    unknown = [name for name in inputs if name not in names]
    if unknown:
        raise RequestError(f"a sample has the input {unknown[0]!r}; {takes}")
    missing = [name for name in names if name not in inputs]
    if missing:
        raise RequestError(f"a sample has no {missing[0]}; {takes}")
    return {name: inputs[name] for name in names}


def takes_one_image(spec: ModelSpec) -> bool:
    """Whether a folder of images says all that the model is fed."""
    return len(spec.inputs) == 1 and spec.inputs[0].role == "image" and len(spec.inputs[0].shape) == 4


def check_batch(spec: ModelSpec) -> int:
    """The batch: the first axis of every input.

    Raises:
        RequestError: an input has no axis, or another first one.
    """
    first = spec.inputs[0]
    for tensor in spec.inputs:
        if not tensor.shape or tensor.shape[0] != first.shape[0]:
            shapes = f"{first.name} {shape_text(first.shape)}, {tensor.name} {shape_text(tensor.shape) or 'a number'}"
            raise RequestError(f"samples need a batch as the first axis of every input; {spec.name} has {shapes}")
    return first.shape[0]


def shapes_of(model: Model, tensor: TensorSpec) -> list[tuple[int, ...]]:
    """What a sample of this input may look like, without the batch; the last one is what a model for tiles is made for."""
    own = tensor.shape[1:]
    if len(model.spec.inputs) > 1 or len(tensor.shape) != 4:
        return [own]
    whole = (*own[:1], *model.image_size)
    return [own] if whole == own else [own, whole]


class InputCheck:
    """Looks at every sample of one stream: one bad sample would spoil every scale.

    Raises:
        RequestError: the model's inputs have no common batch.
    """

    def __init__(self, model: Model) -> None:
        check_batch(model.spec)
        self.spec = model.spec
        self.shapes = {tensor.name: shapes_of(model, tensor) for tensor in model.spec.inputs}

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The sample in the model's types, by the names and in the order of its inputs.

        Args:
            inputs: one array for each input, without the batch.

        Raises:
            RequestError: a name, shape, type or value that the model does not take, or a shape unlike the sample before.
        """
        arrays = named(self.spec, inputs)
        for tensor in self.spec.inputs:
            array, shapes = arrays[tensor.name], self.shapes[tensor.name]
            check_form(tensor, array, shapes)
            check_values(tensor, array)
            shapes[:] = [array.shape]
            arrays[tensor.name] = array.astype(tensor.dtype, copy=False)
        return arrays


def check_form(tensor: TensorSpec, array: Array, shapes: Sequence[tuple[int, ...]]) -> None:
    """
    Raises:
        RequestError: another kind of numbers, or another shape.
    """
    kind = kind_of(tensor)
    if array.shape not in shapes or array.dtype.kind not in KINDS[kind]:
        asked = f"{kind}s {shapes[-1]}"
        raise RequestError(f"input {tensor.name}: samples are {array.dtype} {array.shape}, the model takes {asked}")


KINDS = {"float": "f", "integer": "iu", "boolean": "b"}
"""Kinds of numbers that an input takes -> numpy's letters for them."""


def kind_of(tensor: TensorSpec) -> str:
    """What an input takes, in a word for messages: floats, integers or booleans."""
    letter = np.dtype(tensor.dtype).kind
    return next(kind for kind, letters in KINDS.items() if letter in letters)


def check_values(tensor: TensorSpec, array: Array) -> None:
    """
    Raises:
        RequestError: values outside the input's range or type, NaN or infinity.
    """
    low, high = limits_of(tensor)
    if array.size == 0 or (array.min() >= low and array.max() <= high):  # not true of NaN
        return
    expected = f"{low:g} to {high:g}" if tensor.value_range or kind_of(tensor) == "integer" else "finite values"
    raise RequestError(f"input {tensor.name}: a sample goes from {array.min():g} to {array.max():g}; expected {expected}")


def limits_of(tensor: TensorSpec) -> tuple[float, float]:
    """The least and the largest value that an input takes."""
    if tensor.value_range is not None:
        return tensor.value_range
    if kind_of(tensor) == "float":
        largest = float(np.finfo(tensor.dtype).max)
        return -largest, largest
    if kind_of(tensor) == "boolean":
        return 0, 1
    limits = np.iinfo(tensor.dtype)
    return int(limits.min), int(limits.max)
