"""The document that every measurement becomes: one artifact, on one device, in one runtime. Schema 1.

Devices send JSON. It is parsed as data, with a limit of its size and of every list in it, before anything reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from onenet.base.data import parse_json
from onenet.base.text import one_line
from onenet.errors import CheckError
from onenet.runtimes.agent.records import Content
from onenet.runtimes.devices import KINDS
from onenet.runtimes.devices.answers import adapter, read_as

SCHEMA = 1
LARGEST = 16 << 20
"""Bytes of a document."""
SUFFIX = ".measurement.json"


@dataclass(frozen=True)
class Measurement(Content):
    """A document."""

    measured: datetime = field(kw_only=True)
    """When, with its time zone."""

    def as_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        content: dict[str, object] = adapter(Measurement).dump_python(self, mode="json")
        return content

    def to_json(self) -> str:
        """As it is written to a file."""
        return json.dumps(self.as_dict(), ensure_ascii=False, allow_nan=False, indent=1)


def read(path: Path) -> Measurement:
    """A document from a file.

    Raises:
        CheckError: it cannot be read, is too large, or is not a measurement of schema 1; says what is wrong.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise CheckError(f"{path} cannot be read: {error.strerror or error}") from error
    return parse(data, str(path))


def parse(data: bytes, where: str) -> Measurement:
    """A document from bytes that came from ``where``.

    Raises:
        CheckError: as ``read``.
    """
    try:
        content = parse_json(data)
    except ValueError as error:
        raise CheckError(f"{where} is not a measurement: not JSON ({one_line(error)})") from error
    return validate(content, where)


def validate(content: object, where: str) -> Measurement:
    """A document from parsed JSON.

    Raises:
        CheckError: as ``read``.
    """
    if not isinstance(content, dict):
        raise CheckError(f"{where} is not a measurement: a JSON {type(content).__name__}, not an object")
    if content.get("schema") != SCHEMA:
        raise CheckError(f"{where} is not a measurement of schema {SCHEMA}: its schema is {content.get('schema')!r:.100}")
    try:
        measurement = read_as(Measurement, content)
    except ValueError as error:
        raise CheckError(f"{where} is not a measurement: {error}") from error
    kinds = KINDS.cards()
    if measurement.device.kind not in kinds:
        supported = ", ".join(kinds)
        raise CheckError(
            f"{where} is not a measurement: device.kind: {measurement.device.kind!a:.100} is not one of {supported}"
        )
    return measurement


def now() -> datetime:
    """This second."""
    return datetime.now(timezone.utc).replace(microsecond=0)
