"""What the agent is asked and what its workers answer; each travels as one JSON object.

``from_dict`` trusts what it reads: whoever starts the agent may run anything on the device anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeVar, cast

from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.agent.records import (
    CheckInfo,
    Count,
    DeviceInfo,
    Interpreter,
    Minute,
    Number,
    OperatorList,
    Parity,
    Record,
    Round,
    State,
    SustainedRun,
    Text,
    TimedOperator,
)

T = TypeVar("T")
Json = Mapping[str, object]


def read(kind: type[T], content: object) -> T:
    """A record of plain fields from its JSON."""
    return kind(**cast("dict[str, object]", content))


def read_list(kind: type[T], content: object) -> list[T]:
    """Records of plain fields from their JSON."""
    return [read(kind, each) for each in cast("list[object]", content)]


@dataclass(frozen=True)
class Request:
    """Measure an artifact."""

    artifact: str
    """Its path on the device."""
    plan: Plan
    sha256: str | None = None
    """What it must have; None: whatever it has."""
    runtime: str | None = None
    """Name of the runtime; None: the device's first for the format."""

    def as_dict(self) -> dict[str, object]:
        """As it is sent."""
        return {"do": "measure", **asdict(self), "plan": self.plan.as_dict()}

    @classmethod
    def from_dict(cls, content: Json) -> Request:
        """From what ``as_dict`` gave; what is missing keeps its default."""
        known = {name: content[name] for name in ("artifact", "sha256", "runtime") if name in content}
        return read(cls, {**known, "plan": Plan.from_dict(cast(Json, content["plan"]))})


@dataclass(frozen=True)
class Task:
    """What one worker does: ``check``, ``round``, ``sustain``, ``profile``; ``try`` looks whether a runtime loads."""

    name: str
    seconds: float
    """It ends by itself after these."""
    artifact: str = ""
    plan: Plan = field(default_factory=Plan)
    runtime: str | None = None
    threads: int | None = None
    first: bool = False
    """Whether it is the first of several rounds, which measures what is measured once."""

    def as_dict(self) -> dict[str, object]:
        """As it is sent."""
        return {**asdict(self), "plan": self.plan.as_dict()}

    @classmethod
    def from_dict(cls, content: Json) -> Task:
        """From what ``as_dict`` gave."""
        return read(cls, {**content, "plan": Plan.from_dict(cast(Json, content["plan"]))})


@dataclass(frozen=True)
class Checked(Record):
    """What the worker of ``check`` answers."""

    parity: Parity
    runtime: Interpreter
    operators: OperatorList

    @classmethod
    def from_dict(cls, content: Json) -> Checked:
        """From what ``as_dict`` gave."""
        parity = cast("dict[str, object]", content["parity"])
        checked = read(Parity, {**parity, "checks": read_list(CheckInfo, parity["checks"])})
        return cls(checked, read(Interpreter, content["runtime"]), read(OperatorList, content["operators"]))


@dataclass(frozen=True)
class Sampled(Record):
    """What the worker of ``round`` answers. What is None was not measured in this round; see ``ThreadsRow``."""

    round: Round
    baseline_bytes: int | None = None
    prepare_ms: float | None = None
    finish_ms: float | None = None

    @classmethod
    def from_dict(cls, content: Json) -> Sampled:
        """From what ``as_dict`` gave."""
        return read(cls, {**content, "round": read(Round, content["round"])})


@dataclass(frozen=True)
class Sustained(Record):
    """What the worker of ``sustain`` answers."""

    run: SustainedRun

    @classmethod
    def from_dict(cls, content: Json) -> Sustained:
        """From what ``as_dict`` gave."""
        run = cast("dict[str, object]", content["run"])
        return cls(read(SustainedRun, {**run, "minutes": read_list(Minute, run["minutes"])}))


@dataclass(frozen=True)
class Profiled(Record):
    """What the worker of ``profile`` answers; None: the runtime does not say."""

    times: list[TimedOperator] | None

    @classmethod
    def from_dict(cls, content: Json) -> Profiled:
        """From what ``as_dict`` gave."""
        return cls(None if content["times"] is None else read_list(TimedOperator, content["times"]))


@dataclass(frozen=True)
class Description(Record):
    """What the agent says of the machine that it is on."""

    device: DeviceInfo
    state: State
    busy_percent: Number | None
    runtimes: dict[Text, Text | None]
    """Name -> version, None where it does not load."""
    numpy: Text
    free_bytes: Count | None = None
