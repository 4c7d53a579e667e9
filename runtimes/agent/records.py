"""What the document of a measurement is made of. Python's own library alone: a device writes it, the host validates it.

The limits in the annotations are for the host, where pydantic reads them (``onenet.runtimes.devices.answers``). On a device
nothing does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, ClassVar, Literal

from onenet.base.text import one_line

Schema = dict[str, object]
"""A core schema of pydantic's."""


@dataclass(frozen=True)
class Limit:
    """What a value from a device may be. None: anything.

    pydantic asks for the schema by the name of the method; nothing of pydantic's is needed to give it.
    """

    least: int | None = None
    shortest: int | None = None
    longest: int | None = None
    pattern: str | None = None
    finite: bool = False
    """A number: neither infinite nor NaN."""
    printable: bool = False
    """A text: made one line that can be printed, whatever was sent."""

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[[object], Schema]) -> Schema:
        names = {"ge": self.least, "min_length": self.shortest, "max_length": self.longest, "pattern": self.pattern}
        limits = {name: value for name, value in names.items() if value is not None}
        schema = {**handler(source), **limits, **({"allow_inf_nan": False} if self.finite else {})}
        if not self.printable:
            return schema
        return {"type": "function-after", "function": {"type": "no-info", "function": printable}, "schema": schema}


def printable(text: str) -> str:
    """The text on one line; "" for blanks."""
    return one_line(text) if text.strip() else ""


Text = Annotated[str, Limit(longest=2000, printable=True)]
Milliseconds = Annotated[float, Limit(least=0, finite=True)]
Number = Annotated[float, Limit(finite=True)]
Count = Annotated[int, Limit(least=0)]
Positive = Annotated[int, Limit(least=1)]
Sha256 = Annotated[str, Limit(pattern="^[0-9a-f]{64}$")]
STRICT: dict[str, object] = {"extra": "forbid"}
"""For pydantic: what is not described here is an error, not ignored."""


@dataclass(frozen=True)
class Record:
    """A part of a document."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    def as_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class ArtifactInfo(Record):
    """What was measured."""

    file: Text
    sha256: Sha256
    bytes: Count
    model: Text
    target: Text
    precision: Text
    input_shape: Annotated[list[int], Limit(longest=8)]
    quality: dict[Text, int | Number | None] = field(default_factory=dict)
    """What its manifest says of it on evaluation images."""


@dataclass(frozen=True)
class DeviceInfo(Record):
    """Where it was measured. ``name`` is the device as the user asked for it; the rest is what the device says of itself."""

    name: Text
    kind: Text
    model: Text = "unknown"
    cpu: Text = "unknown"
    cores: Positive | None = None
    memory_bytes: Count | None = None
    system: Text = "unknown"
    machine: Text = "unknown"
    libc: Text | None = None
    python: Text | None = None
    features: Annotated[list[Text], Limit(longest=50)] = field(default_factory=list)
    """Abilities of the processor that kernels depend on."""
    emulated: Text | None = None
    """By what, where the processor is not a real one: its times mean nothing."""
    virtual: bool | None = None


@dataclass(frozen=True)
class Interpreter(Record):
    """What computed the artifact; ``kernels`` in words."""

    name: Text
    version: Text
    kernels: Text = ""


@dataclass(frozen=True)
class CheckInfo(Record):
    """One question asked of the artifact; see ``onenet.runtimes.parity.Check``."""

    name: Text
    passed: bool | None
    detail: Text


@dataclass(frozen=True)
class Parity(Record):
    """The golden pair, computed on the device. ``where`` says who compared: the device, or the host with its outputs.

    Raises:
        ValueError: passed, with a check that failed.
    """

    passed: bool
    where: Literal["device", "host"]
    checks: Annotated[list[CheckInfo], Limit(longest=100)]

    def __post_init__(self) -> None:
        if self.passed and any(check.passed is False for check in self.checks):
            raise ValueError("passed, with a check that failed")

    @property
    def compared(self) -> bool:
        """Whether values were compared: of a file from elsewhere, and where a runner shows none, they were not."""
        return not any(check.passed is None and check.name.startswith(("values", "golden")) for check in self.checks)


@dataclass(frozen=True)
class State(Record):
    """The machine at one moment. None is what the machine does not say."""

    seconds: Milliseconds
    """Since the measurement began."""
    load: Number | None = None
    """Processes that want to run, mean of the last minute."""
    temperature_c: dict[Text, Number] = field(default_factory=dict)
    frequency_mhz: Annotated[list[Number], Limit(longest=1024)] = field(default_factory=list)
    governor: Text | None = None
    throttled: Text | None = None
    """What the system says of throttling; None: it does not say, "no": it says there is none."""
    power: Text | None = None
    battery_percent: Number | None = None


@dataclass(frozen=True)
class Round(Record):
    """One process: loaded, warmed up, sampled."""

    load_ms: Milliseconds
    first_ms: Milliseconds
    warmup_runs: Count
    samples_ms: Annotated[list[Milliseconds], Limit(shortest=1, longest=10_000)]
    peak_bytes: Count | None = None


@dataclass(frozen=True)
class Summary(Record):
    """The figures of all samples of a row; see ``latency.summary``."""

    n: Positive
    mean_ms: Milliseconds
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    p99_ms: Milliseconds
    min_ms: Milliseconds
    max_ms: Milliseconds
    spread: Milliseconds
    ci95_ms: Annotated[list[Milliseconds], Limit(shortest=2, longest=2)]


@dataclass(frozen=True)
class Minute(Record):
    """One minute of a sustained run."""

    minute: Positive
    n: Positive
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    p99_ms: Milliseconds


@dataclass(frozen=True)
class SustainedRun(Record):
    """Runs without pause."""

    minutes: Annotated[list[Minute], Limit(shortest=1, longest=10_000)]
    drop_percent: Number
    """How much slower the last minute is than the first."""


@dataclass(frozen=True)
class ThreadsRow(Record):
    """Everything that was measured with one number of threads."""

    threads: Positive
    rounds: Annotated[list[Round], Limit(shortest=1, longest=1000)]
    summary: Summary
    load_ms: Milliseconds
    """Median of the rounds, as is ``first_ms``."""
    first_ms: Milliseconds
    peak_bytes: Count | None = None
    states: Annotated[list[State], Limit(longest=20_000)] = field(default_factory=list)
    cores: Annotated[list[int], Limit(longest=1024)] = field(default_factory=list)
    prepare_ms: Milliseconds | None = None
    """Pixels in [0, 1] to what the interpreter takes."""
    finish_ms: Milliseconds | None = None
    """What the interpreter gives to a label per pixel."""
    baseline_bytes: Count | None = None
    """What the process held before the artifact was opened."""
    peak_method: Text = ""
    sustained: SustainedRun | None = None


@dataclass(frozen=True)
class TimedOperator(Record):
    """Mean time of one operator."""

    name: Text
    type: Text
    ms: Milliseconds


@dataclass(frozen=True)
class OperatorList(Record):
    """What the artifact's graph is made of."""

    counts: dict[Text, int] = field(default_factory=dict)
    partitions: Count | None = None
    """Parts of the graph that a delegate took over; None where the runtime has no delegates."""
    times: Annotated[list[TimedOperator], Limit(longest=10_000)] = field(default_factory=list)


@dataclass(frozen=True)
class Caution(Record):
    """Something that makes the figures worth less; ``docs/measuring.md`` has a remedy under each name."""

    name: Text
    detail: Text


@dataclass(frozen=True)
class Content(Record):
    """A document as a device gives it: one artifact, on one device, in one runtime."""

    schema: Literal[1]
    tool: Text
    artifact: ArtifactInfo
    device: DeviceInfo
    runtime: Interpreter
    parity: Parity
    plan: dict[str, object]
    """As ``Plan.as_dict`` gives it."""
    timed: Text
    """What the samples are the times of."""
    rows: Annotated[list[ThreadsRow], Limit(shortest=1, longest=100)]
    operators: OperatorList = field(default_factory=OperatorList)
    warnings: Annotated[list[Caution], Limit(longest=100)] = field(default_factory=list)
