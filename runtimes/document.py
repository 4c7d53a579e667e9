"""The document that every measurement becomes: one artifact, on one device, in one runtime. Schema 1.

Devices send JSON. It is parsed as data, with a limit of its size and of every list in it, before anything reads it.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from onenet.base.data import parse_json
from onenet.base.text import one_line
from onenet.errors import CheckError

SCHEMA = 1
LARGEST = 16 << 20
"""Bytes of a document."""
SUFFIX = ".measurement.json"


def printable(text: str) -> str:
    return one_line(text) if text.strip() else ""


Text = Annotated[str, Field(max_length=2000), AfterValidator(printable)]
"""From a device: one printable line, whatever was sent."""
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """Strict: what is not described here is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ArtifactInfo(Record):
    """What was measured. ``quality`` is what its manifest says of it on evaluation images."""

    file: Text
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Bytes
    model: Text
    target: Text
    precision: Text
    input_shape: Annotated[list[int], Field(max_length=8)]
    quality: dict[str, Number | int | None] = {}


class DeviceInfo(Record):
    """Where it was measured. ``name`` is the device as the user asked for it; the rest is what the device says of itself."""

    name: Text
    kind: Literal["local", "ssh", "adb", "browser", "null"]
    model: Text = "unknown"
    cpu: Text = "unknown"
    cores: Annotated[int, Field(ge=1)] | None = None
    memory_bytes: Bytes | None = None
    system: Text = "unknown"
    machine: Text = "unknown"
    libc: Text | None = None
    python: Text | None = None
    features: Annotated[list[Text], Field(max_length=50)] = []
    """Of the processor, those that kernels depend on."""
    emulated: Text | None = None
    """By what, where the processor is not a real one: its times mean nothing."""
    virtual: bool | None = None


class RuntimeInfo(Record):
    name: Text
    version: Text
    kernels: Text = ""


class CheckInfo(Record):
    name: Text
    passed: bool | None
    detail: Text


class Parity(Record):
    """The golden pair, computed on the device. ``where`` says who compared: the device, or this machine with its outputs."""

    passed: bool
    where: Literal["device", "host"]
    checks: Annotated[list[CheckInfo], Field(max_length=100)]

    @model_validator(mode="after")
    def agree(self) -> Parity:
        if self.passed and any(check.passed is False for check in self.checks):
            raise ValueError("passed, with a check that failed")
        return self


class State(Record):
    """The machine at one moment. None is what the machine does not say."""

    seconds: Annotated[float, Field(ge=0)]
    """Since the measurement began."""
    load: Number | None = None
    """Processes that want to run, mean of the last minute."""
    temperature_c: dict[Text, Number] = {}
    frequency_mhz: Annotated[list[Number], Field(max_length=1024)] = []
    governor: Text | None = None
    throttled: Text | None = None
    """What the system says of throttling; None: it does not say, "no": it says there is none."""
    power: Text | None = None
    battery_percent: Number | None = None


class Round(Record):
    """One process: loaded, warmed up, sampled."""

    load_ms: Milliseconds
    first_ms: Milliseconds
    warmup_runs: Annotated[int, Field(ge=0)]
    samples_ms: Annotated[list[Milliseconds], Field(min_length=1, max_length=10_000)]
    peak_bytes: Bytes | None = None


class Summary(Record):
    """See ``latency.summary``."""

    n: Annotated[int, Field(ge=1)]
    mean_ms: Milliseconds
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    p99_ms: Milliseconds
    min_ms: Milliseconds
    max_ms: Milliseconds
    spread: Milliseconds
    ci95_ms: Annotated[list[Milliseconds], Field(min_length=2, max_length=2)]


class Minute(Record):
    minute: Annotated[int, Field(ge=1)]
    n: Annotated[int, Field(ge=1)]
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    p99_ms: Milliseconds


class Sustained(Record):
    minutes: Annotated[list[Minute], Field(min_length=1, max_length=10_000)]
    drop_percent: Number


class Row(Record):
    """One number of threads."""

    threads: Annotated[int, Field(ge=1)]
    cores: Annotated[list[int], Field(max_length=1024)] = []
    rounds: Annotated[list[Round], Field(min_length=1, max_length=1000)]
    summary: Summary
    load_ms: Milliseconds
    """Median of the rounds, as is ``first_ms``."""
    first_ms: Milliseconds
    prepare_ms: Milliseconds | None = None
    """Pixels in [0, 1] to what the interpreter takes."""
    finish_ms: Milliseconds | None = None
    """What the interpreter gives to a label per pixel."""
    peak_bytes: Bytes | None = None
    baseline_bytes: Bytes | None = None
    """Of the process before the artifact was opened."""
    peak_method: Text = ""
    sustained: Sustained | None = None
    states: Annotated[list[State], Field(max_length=20_000)] = []


class OperatorTime(Record):
    name: Text
    type: Text
    ms: Milliseconds


class Operators(Record):
    counts: dict[Text, int] = {}
    partitions: Annotated[int, Field(ge=0)] | None = None
    """Of the graph that a delegate took over; None where the runtime has no delegates."""
    times: Annotated[list[OperatorTime], Field(max_length=10_000)] = []


class Caution(Record):
    """Something that makes the figures worth less; ``docs/measuring.md`` has a remedy under each name."""

    name: Text
    detail: Text


class Measurement(Record):
    """One artifact, on one device, in one runtime."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    tool: Text
    measured: datetime
    artifact: ArtifactInfo
    device: DeviceInfo
    runtime: RuntimeInfo
    parity: Parity
    plan: dict[str, Any]
    timed: Text
    """What the samples are the times of."""
    rows: Annotated[list[Row], Field(min_length=1, max_length=100)]
    operators: Operators = Operators()
    warnings: Annotated[list[Caution], Field(max_length=100)] = []

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, indent=1)


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


def validate(content: Any, where: str) -> Measurement:
    """A document from parsed JSON.

    Raises:
        CheckError: as ``read``.
    """
    if not isinstance(content, dict):
        raise CheckError(f"{where} is not a measurement: a JSON {type(content).__name__}, not an object")
    if content.get("schema") != SCHEMA:
        raise CheckError(f"{where} is not a measurement of schema {SCHEMA}: its schema is {content.get('schema')!r:.100}")
    try:
        return Measurement.model_validate(content)
    except ValidationError as error:
        raise CheckError(f"{where} is not a measurement: {problem(error)}") from error


def problem(error: ValidationError) -> str:
    """The first thing that is wrong, and where, on one line."""
    first = error.errors(include_url=False)[0]
    return one_line(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)
