"""The messages of a Core ML package that are read here, as types: the fields that matter, under their own names.

The classes come from coremltools' protobuf files (``proto/Model.proto``, ``FeatureTypes.proto``, ``MIL.proto``), which bring
no types. Descriptions: https://apple.github.io/coremltools/mlmodel/index.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional, Protocol


class EnumValue(Protocol):
    """A name of an enumeration."""

    name: str


class EnumType(Protocol):
    """An enumeration, by its numbers."""

    values_by_number: Mapping[int, EnumValue]


class FieldDescriptor(Protocol):
    """A field's description."""

    enum_type: EnumType


class Descriptor(Protocol):
    """A message's description."""

    fields_by_name: Mapping[str, FieldDescriptor]


class Message(Protocol):
    """What every message has."""

    DESCRIPTOR: Descriptor

    def WhichOneof(self, group: str, /) -> Optional[str]:  # noqa: UP045  # protobuf's own name; read on Python 3.9
        """The field of a group that is set."""
        ...


class Size(Protocol):
    """A known length."""

    size: int


class Dimension(Message, Protocol):
    """One length of a tensor: ``constant`` or unknown."""

    constant: Size


class TensorType(Message, Protocol):
    """Type and lengths of a tensor; ``dataType`` is read with ``enum_name``."""

    dimensions: Sequence[Dimension]


class ValueType(Message, Protocol):
    """What a value is: a tensor, or something else that is not supported."""

    tensorType: TensorType


class NamedType(Protocol):
    """A declared value."""

    name: str
    type: ValueType


class Bytes(Protocol):
    """A constant's raw bytes."""

    values: bytes


class HeldTensor(Message, Protocol):
    """A constant inside the program: ``bytes``, or ``floats``, ``ints``, ``strings`` ... with ``values``."""

    bytes: Bytes


class Immediate(Protocol):
    """A constant inside the program."""

    tensor: HeldTensor


class BlobFile(Protocol):
    """A constant in a file of the package."""

    fileName: str
    offset: int


class Value(Message, Protocol):
    """A constant."""

    type: ValueType
    immediateValue: Immediate
    blobFileValue: BlobFile


class Binding(Message, Protocol):
    """What an argument is: the name of a value, or a constant."""

    name: str
    value: Value


class Argument(Protocol):
    """An argument of an operation; several bindings where it takes a list."""

    arguments: Sequence[Binding]


class Operation(Protocol):
    """One operation of a program."""

    type: str
    inputs: Mapping[str, Argument]
    outputs: Sequence[NamedType]
    attributes: Mapping[str, Value]
    blocks: Sequence[Block]


class Block(Protocol):
    """Operations in order, and which values they give back."""

    operations: Sequence[Operation]
    outputs: Sequence[str]


class Function(Protocol):
    """A function, with a block for each operator set."""

    inputs: Sequence[NamedType]
    opset: str
    block_specializations: Mapping[str, Block]


class ProgramMessage(Protocol):
    """An ML program."""

    functions: Mapping[str, Function]


class ImageType(Message, Protocol):
    """An image; ``colorSpace`` is read with ``enum_name``."""

    height: int
    width: int


class ArrayType(Message, Protocol):
    """An array; ``dataType`` is read with ``enum_name``."""

    shape: Sequence[int]


class FeatureType(Message, Protocol):
    """What an input or output of the package is."""

    imageType: ImageType
    multiArrayType: ArrayType


class Feature(Protocol):
    """An input or output of the package."""

    name: str
    type: FeatureType


class Metadata(Protocol):
    """What the package's maker wrote into it."""

    userDefined: Mapping[str, str]


class Description(Protocol):
    """The package's ends."""

    input: Sequence[Feature]
    output: Sequence[Feature]
    metadata: Metadata


class ModelMessage(Message, Protocol):
    """A whole ``model.mlmodel``."""

    description: Description
    mlProgram: ProgramMessage
