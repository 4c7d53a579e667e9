"""What a device sent, held to what it should be. Everything comes as JSON that anybody may have written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from onenet.base.text import one_line

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
ADAPTERS: dict[object, TypeAdapter[Any]] = {}
"""Made once: it takes as long as hundreds of validations."""


def read_as(kind: type[T], content: object) -> T:
    """Parsed JSON as a record.

    Args:
        kind: a dataclass with the limits of ``onenet.runtimes.agent.records``.

    Raises:
        ValueError: it is something else; says in one line what is wrong first, and where.
    """
    from pydantic import ValidationError  # takes a tenth of a second, which help texts do not have

    try:
        record: T = adapter(kind).validate_python(content)
        return record
    except ValidationError as error:
        raise ValueError(problem(error)) from error


def adapter(kind: type[T]) -> TypeAdapter[T]:
    """pydantic's validator and writer of a kind of record."""
    from pydantic import TypeAdapter

    if kind not in ADAPTERS:
        ADAPTERS[kind] = TypeAdapter(kind)
    made: TypeAdapter[T] = ADAPTERS[kind]
    return made


def problem(error: ValidationError) -> str:
    """The first thing that is wrong, and where, on one line."""
    first = error.errors(include_url=False)[0]
    return one_line(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
