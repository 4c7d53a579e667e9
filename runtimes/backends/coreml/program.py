"""Core ML's ML programs (MIL) run without Core ML: the program as it was saved, one operator after another, in numpy.

``operators`` holds the operators; here a program's main block is read, bound to its constants and walked. Every result
must have the shape and type that the program declares for it, so an operator understood wrongly rarely passes unseen.

What this shows is the program's arithmetic. It does not show what Core ML's compiler accepts, on which unit an operator
runs, or how that unit rounds.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onenet.base.text import one_line, printable, shape_text
from onenet.errors import CheckError
from onenet.runtimes.backends.coreml.layout import LARGEST, Array, Ints
from onenet.runtimes.backends.coreml.messages import (
    Block,
    Function,
    Message,
    NamedType,
    Operation,
    TensorType,
    Value,
    ValueType,
)
from onenet.runtimes.backends.coreml.operators import OPERATORS, Operator, unpacked

ReadBlob = Callable[[str, int], NDArray[np.uint8]]
"""The bytes of one weight, by file name and offset of its entry."""
Watch = Callable[[str, str, Array], None]
"""Called with an operator's type, the name of one of its outputs, and the value."""

PACKED = {"INT4": 4, "UINT1": 1, "UINT2": 2, "UINT3": 3, "UINT4": 4, "UINT6": 6}
"""Bits of the types whose values share bytes in a file; here each value takes a byte."""
DTYPES = {
    **{"FLOAT16": "float16", "FLOAT32": "float32", "FLOAT64": "float64", "BOOL": "bool", "STRING": "str"},
    **{f"{kind}{bits}": f"{kind.lower()}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)},
    **{code: "int8" if code == "INT4" else "uint8" for code in PACKED},
}


@dataclass(frozen=True)
class Tensor:
    """What a program declares of a value; an axis of -1 takes any length."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """An operator of the program, bound to what it reads: an array, or the name of a value that an earlier step gives."""

    type: str
    outputs: tuple[Tensor, ...]
    arguments: dict[str, list[str | Array]]
    known: tuple[Array, ...] | None = None
    """Its results, where they depend on constants alone (``constexpr_...``)."""


class Program:
    """The main function of an ML program, ready to be evaluated any number of times.

    Args:
        function: the function's message.
        block: its block for the operator set that it was made for.
        read_blob: reads weights; called once for each.
        name: the package's name, for messages.

    Raises:
        CheckError: a constant is damaged, or an operator reads what nothing before it gives.
    """

    def __init__(self, function: Function, block: Block, read_blob: ReadBlob, name: str) -> None:
        self.name, self.read_blob = name, read_blob
        self.inputs = tuple(self.declared(each) for each in function.inputs)
        self.outputs = tuple(block.outputs)
        self.constants: dict[str, Array] = {}
        self.steps: list[Step] = []
        names = {each.name for each in self.inputs}
        with np.errstate(all="ignore"):
            for operation in block.operations:
                self.add(operation, names)
        lost = [each for each in self.outputs if each not in names and each not in self.constants]
        if lost:
            raise self.damage(f"nothing in the program gives its output {lost[0]}")
        self.released = self.last_readers()

    def add(self, operation: Operation, names: set[str]) -> None:
        """Read one operation; ``names`` are those of the values that exist when it runs."""
        outputs = tuple(self.declared(each) for each in operation.outputs)
        if not outputs:
            raise self.damage(f"an operator {operation.type} gives nothing")
        for tensor in outputs:
            if tensor.name in names or tensor.name in self.constants:
                raise self.damage(f"two operators give {tensor.name}")
        if operation.type == "const":
            value = self.read(outputs[0].name, operation.attributes["val"])
            self.constants[outputs[0].name] = self.checked("const", outputs[0], value)
            return
        step = Step(operation.type, outputs, self.arguments_of(operation, names))
        if operation.type.startswith("constexpr_"):
            step = Step(step.type, outputs, {}, self.compute(step, {}))
            self.constants |= {tensor.name: value for tensor, value in zip(outputs, step.known or (), strict=True)}
        else:
            names |= {tensor.name for tensor in outputs}
        self.steps.append(step)

    def arguments_of(self, operation: Operation, names: set[str]) -> dict[str, list[str | Array]]:
        """Argument -> operands: a name or a constant. Raises CheckError where a name comes from no earlier operator."""
        found: dict[str, list[str | Array]] = {}
        for key, bindings in bindings_of(operation):
            found[key] = []
            for binding in bindings:
                if not isinstance(binding, str):
                    found[key].append(self.read(f"{key} of {operation.outputs[0].name}", binding))
                elif binding in names or binding in self.constants:
                    found[key].append(self.constants.get(binding, binding))
                else:
                    where = f"{operation.type} {operation.outputs[0].name}"
                    raise self.damage(f"{where} reads {binding}, which no operator before it gives")
        return found

    def declared(self, value: NamedType) -> Tensor:
        """Name, shape and dtype that the program declares for a value. Raises CheckError where they are not readable."""
        try:
            return tensor_of(value.name, value.type)
        except ValueError as error:
            raise self.damage(f"{value.name} {error}") from error

    def read(self, name: str, value: Value) -> Array:
        """The array of a constant, inline or from the weight file. Raises CheckError where it is damaged."""
        try:
            return constant(value, self.read_blob)
        except (ValueError, TypeError, OverflowError) as error:
            raise self.damage(f"the constant {name} is damaged: {one_line(error)}") from error

    def last_readers(self) -> list[list[str]]:
        """For each step the values that nothing reads after it."""
        last = {tensor.name: place for place, step in enumerate(self.steps) for tensor in step.outputs}
        last |= {tensor.name: -1 for tensor in self.inputs}
        for place, step in enumerate(self.steps):
            last |= {each: place for operands in step.arguments.values() for each in operands if isinstance(each, str)}
        released: list[list[str]] = [[] for _ in self.steps]
        for name, place in last.items():
            if place >= 0 and name not in self.outputs:
                released[place].append(name)
        return released

    def run(self, feeds: Mapping[str, Array], watch: Watch | None = None) -> dict[str, Array]:
        """Evaluate the program; a value is dropped once nothing reads it any more.

        Args:
            feeds: the inputs, as the program takes them.
            watch: sees every operator's outputs as they are computed, in the program's order.

        Raises:
            CheckError: an operator cannot be computed, or its result is not what the program declares; names both.
        """
        values = {each.name: self.checked("input", each, feeds[each.name]) for each in self.inputs}
        with np.errstate(all="ignore"):
            for step, released in zip(self.steps, self.released, strict=True):
                results = step.known or self.compute(step, values)
                for tensor, value in zip(step.outputs, results, strict=True):
                    values[tensor.name] = value
                    if watch is not None:
                        watch(step.type, tensor.name, value)
                for name in released:
                    values.pop(name, None)
        return {name: values[name] if name in values else self.constants[name] for name in self.outputs}

    def compute(self, step: Step, values: Mapping[str, Array]) -> tuple[Array, ...]:
        """The outputs of one operator. Raises CheckError where its arguments do not fit it or each other."""
        function, where = OPERATORS[step.type], f"{step.type} {step.outputs[0].name}"
        try:
            hints = parameters(function)
            arguments = {
                key: as_parameter([values[each] if isinstance(each, str) else each for each in operands], hints[key])
                for key, operands in step.arguments.items()
            }
            inspect.signature(function).bind(**arguments)  # says what is missing more plainly than the call would
            found = function(**arguments)
            results = tuple(np.asarray(each) for each in (found if isinstance(found, list) else [found]))
        except Exception as error:  # numpy and torch raise anything on arguments that do not fit one another
            raise self.damage(f"{where} cannot be computed: {one_line(error)}") from error
        if len(results) != len(step.outputs):
            raise self.damage(f"{where} gives {len(results)} values; the program declares {len(step.outputs)}")
        return tuple(self.checked(step.type, *each) for each in zip(step.outputs, results, strict=True))

    def checked(self, kind: str, declared: Tensor, value: Array) -> Array:
        """The value, if it has the declared type and shape."""
        dtype = "str" if value.dtype.kind == "U" else value.dtype.name
        if dtype != declared.dtype or not fits(value.shape, declared.shape):
            found, expected = f"{dtype} {shape_text(value.shape)}", f"{declared.dtype} {shape_text(declared.shape)}"
            raise self.damage(f"{kind} {declared.name} gives {found}; the program declares {expected}")
        return value

    def damage(self, text: str) -> CheckError:
        """The error for a damaged program, in printable text after the file's name."""
        return CheckError(f"{self.name}: {printable(text)}")


# ---- what a program holds -----------------------------------------------------------------------------------------


def enum_name(message: Message, field: str) -> str:
    """The name of an enum field's value in a protobuf message, or "unknown" and its number."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    number = getattr(message, field)
    return str(kind.values_by_number[number].name) if number in kind.values_by_number else f"unknown {number}"


def tensor_of(name: str, kind: ValueType) -> Tensor:
    """
    Raises:
        ValueError: a type other than a tensor, or more values than anything computes with.
    """
    if kind.WhichOneof("type") != "tensorType":
        raise ValueError(f"is of type {kind.WhichOneof('type')}; supported: tensors")
    code = enum_name(kind.tensorType, "dataType")
    shape = shape_of(kind.tensorType)
    if abs(math.prod(shape)) > LARGEST:
        raise ValueError(f"is declared as {shape_text(shape)}; tensors of at most {LARGEST} values are supported")
    return Tensor(name, DTYPES.get(code, code.lower()), shape)


def fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    """Whether a shape is the declared one, where -1 stands for any length."""
    return len(shape) == len(declared) and all(a in (-1, b) for a, b in zip(declared, shape, strict=True))


def shape_of(tensor_type: TensorType) -> tuple[int, ...]:
    """A tensor type's lengths; -1 where one is open."""
    lengths = tensor_type.dimensions
    return tuple(int(n.constant.size) if n.WhichOneof("dimension") == "constant" else -1 for n in lengths)


def bindings_of(operation: Operation) -> Iterator[tuple[str, list[str | Value]]]:
    """Each argument: the names of values, or constants' messages, that it is bound to."""
    for key, argument in operation.inputs.items():
        yield key, [each.name if each.WhichOneof("binding") == "name" else each.value for each in argument.arguments]
    for key, value in operation.attributes.items():
        if key != "name":
            yield key, [value]


def constant(value: Value, read_blob: ReadBlob) -> Array:
    """A constant's message as an array.

    Raises:
        ValueError: not a tensor of a known type, or not as many values as its shape has.
        CheckError: from ``read_blob``.
    """
    if value.type.WhichOneof("type") != "tensorType":
        raise ValueError(f"it is of type {value.type.WhichOneof('type')}; supported: tensors")
    code, shape = enum_name(value.type.tensorType, "dataType"), shape_of(value.type.tensorType)
    if -1 in shape or code not in DTYPES:
        raise ValueError(f"it is declared as {code} {shape_text(shape)}")
    if value.WhichOneof("value") == "blobFileValue":
        return from_bytes(read_blob(value.blobFileValue.fileName, value.blobFileValue.offset), code, shape)
    held = value.immediateValue.tensor
    kind = held.WhichOneof("value")
    if kind == "bytes":
        return from_bytes(np.frombuffer(held.bytes.values, np.uint8), code, shape)
    values = list(getattr(held, kind).values) if kind else []
    return np.array(values, DTYPES[code]).reshape(shape)


def from_bytes(data: NDArray[np.uint8], code: str, shape: tuple[int, ...]) -> Array:
    """Little-endian bytes as an array, packed 4-bit codes as well. Raises ValueError where the number of bytes is wrong."""
    count = math.prod(shape)
    bits = PACKED.get(code, 8 * np.dtype(DTYPES[code]).itemsize)
    if len(data) != -(-count * bits // 8):
        raise ValueError(f"{count} values of {code} do not take {len(data)} bytes")
    if code not in PACKED:
        return data.view(np.dtype(DTYPES[code]).newbyteorder("<")).reshape(shape)
    values: Array = unpacked(data, bits, count).reshape(shape)
    return ((values ^ 8).astype(np.int8) - np.int8(8)) if code == "INT4" else values


# ---- what an operator takes ---------------------------------------------------------------------------------------


@functools.cache
def parameters(function: Operator) -> dict[str, object]:
    """Each parameter's type, without ``None``."""
    hints = typing.get_type_hints(function)
    hints.pop("return", None)
    return {name: without_none(hint) for name, hint in hints.items()}


def without_none(hint: object) -> object:
    """The type T of a hint ``T | None``; any other hint as it is."""
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    return next(each for each in typing.get_args(hint) if each is not types.NoneType)


def as_parameter(operands: list[Array], hint: object) -> object:
    """What an argument is bound to, as the operator's parameter takes it.

    Raises:
        ValueError: several values for one, or a value that the operator does not support.
    """
    if typing.get_origin(hint) is list:
        return operands
    (value,) = operands
    if hint in (int, float, bool, str):
        return hint(value.item())
    if hint == Ints:
        return tuple(int(each) for each in value.ravel())
    if typing.get_origin(hint) is Literal and value.item() not in typing.get_args(hint):
        raise ValueError(f"{value.item()} is not supported")
    return value.item() if typing.get_origin(hint) is Literal else value


def unsupported(function: Function, block: Block) -> list[str]:
    """What of a program cannot be evaluated: operators, arguments and arguments' values that are not known.

    Looks at nothing but the program itself; empty where everything is known.
    """
    kinds = [each.type.WhichOneof("type") for each in function.inputs]
    found = {f"an input of type {kind}" for kind in kinds if kind != "tensorType"}
    found |= {each.type for each in block.operations if each.type != "const" and each.type not in OPERATORS}
    constants = {o.outputs[0].name: o.attributes["val"] for o in block.operations if o.type == "const" and o.outputs}
    for operation in block.operations:
        if operation.type in OPERATORS:
            found |= set(unsupported_arguments(operation, constants))
    return sorted(found)


def unsupported_arguments(operation: Operation, constants: Mapping[str, Value]) -> Iterator[str]:
    """Texts "operator with key" for the arguments and values that the evaluator does not take."""
    hints = parameters(OPERATORS[operation.type])
    for key, bindings in bindings_of(operation):
        if key not in hints:
            yield f"{operation.type} with {key}"
        elif typing.get_origin(hints[key]) is Literal:
            for each in bindings:
                value = constants.get(each) if isinstance(each, str) else each
                if value is not None and value.WhichOneof("value") == "immediateValue":
                    yield from unsupported_value(operation.type, key, value, typing.get_args(hints[key]))


def unsupported_value(operator: str, key: str, value: Value, supported: tuple[object, ...]) -> Iterator[str]:
    """Texts "operator with key=value" for the values of a constant that are not in ``supported``."""
    held = value.immediateValue.tensor
    for each in getattr(held, held.WhichOneof("value") or "strings").values:
        if each not in supported:
            yield f"{operator} with {key}={each!r}"
