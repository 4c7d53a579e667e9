"""A budget: what an artifact may cost on a device, and the gates that follow from it. Read from TOML, judged on documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from onenet.base.text import one_line
from onenet.base.toml import read_toml
from onenet.errors import RequestError
from onenet.runtimes.agent.records import ArtifactInfo
from onenet.runtimes.measure.document import Measurement
from onenet.runtimes.measure.documents import Documents, Failure, Line
from onenet.tasks import metrics

Limit = Annotated[float, Field(strict=True, allow_inf_nan=False)] | None
AT_MOST = {
    "p50_ms": "median latency",
    "p90_ms": "90 % of the images take at most",
    "p99_ms": "99 % of the images take at most",
    "load_ms": "loading",
    "first_ms": "first inference",
    "drop_percent": "slower at the end of a sustained run",
    "peak_mb": "peak memory",
    "size_mb": "file size",
}
OF_THE_DEVICE = tuple(AT_MOST)[:-1]
"""What an emulated processor says nothing about."""
PATTERNS = ("device", "model", "target", "precision", "runtime")


class BudgetEntry(BaseModel):
    """One ``[[budget]]``. Patterns are those of a shell (``ssh:*``); MB are 10^6 bytes."""

    model_config = ConfigDict(extra="allow", frozen=True)

    device: str = "*"
    model: str = "*"
    target: str = "*"
    precision: str = "*"
    runtime: str = "*"
    threads: Annotated[int, Field(ge=1)] | None = None
    """None: of each artifact the number of threads with the lowest median."""

    p50_ms: Limit = None
    p90_ms: Limit = None
    p99_ms: Limit = None
    load_ms: Limit = None
    first_ms: Limit = None
    drop_percent: Limit = None
    peak_mb: Limit = None
    size_mb: Limit = None
    __pydantic_extra__: dict[str, Limit] = Field(init=False)
    """Limits on the figures of the tasks, by the names of ``onenet.tasks.metrics``: from below where higher is better."""

    @model_validator(mode="before")
    @classmethod
    def check_names(cls, data: object) -> object:
        """Refuse names that are neither a field nor a metric."""
        known = {*cls.model_fields, *metrics()}
        unknown = next((name for name in data if name not in known), None) if isinstance(data, dict) else None
        if unknown is not None:
            raise PydanticCustomError("unknown_name", "{name}", {"name": str(unknown)})
        return data

    def limits(self) -> dict[str, float]:
        """Figure -> its limit, those that the entry sets."""
        given = {name: getattr(self, name, None) for name in (*AT_MOST, *metrics())}
        return {name: float(value) for name, value in given.items() if value is not None}

    def takes(self, measurement: Measurement) -> bool:
        """Whether a measurement fits every pattern of the entry."""
        artifact = measurement.artifact
        values = (measurement.device.name, artifact.model, artifact.target, artifact.precision, measurement.runtime.name)
        return all(fnmatchcase(value, pattern) for value, pattern in zip(values, self.patterns(), strict=True))

    def takes_failure(self, failure: Failure) -> bool:
        """What is not known of an artifact that could not be read could be what was meant."""
        artifact = failure.artifact
        known = (artifact.model, artifact.target, artifact.precision) if isinstance(artifact, ArtifactInfo) else ()
        return all(
            fnmatchcase(value, pattern) for value, pattern in zip((failure.device, *known), self.patterns(), strict=False)
        )

    def patterns(self) -> tuple[str, ...]:
        """Patterns for device, model, target, precision and runtime, in the order of ``PATTERNS``."""
        return tuple(getattr(self, name) for name in PATTERNS)

    def __str__(self) -> str:
        given = [f"{name} {getattr(self, name)!r:.100}" for name in PATTERNS if getattr(self, name) != "*"]
        return ", ".join([*given, *([] if self.threads is None else [f"{self.threads} threads"])]) or "everything"


class Budget(BaseModel):
    """Every entry that fits a measurement applies to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: Annotated[list[BudgetEntry], Field(min_length=1, max_length=1000)]


@dataclass(frozen=True)
class Gate:
    """One limit, held against one measurement."""

    name: str
    """Name of the limit; ``golden``: the golden check, which every entry asks for; ``measured``: nothing fits the entry."""
    limit: float | None
    found: float | None
    passed: bool
    reason: str
    """In words, of a gate that passed as well."""
    artifact: str
    device: str
    threads: int | None = None

    def as_dict(self) -> dict[str, object]:
        """As ``onenet bench --json`` prints it."""
        return asdict(self)


def read(path: Path) -> Budget:
    """
    Raises:
        RequestError: it cannot be read, is no TOML, or holds something else than budgets; says where and what.
    """
    try:
        return Budget.model_validate(read_toml(path, "budget"))
    except ValidationError as error:
        raise RequestError(f"budget {path}: {problem(error)}") from error


def problem(error: ValidationError) -> str:
    """What is wrong with a budget file, where, and what is supported; one line."""
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    if first["type"] == "unknown_name":
        known = ", ".join([*BudgetEntry.model_fields, *metrics()])
        return one_line(f"{first['ctx']['name']} is not known in [[budget]] {int(first['loc'][1]) + 1}; supported: {known}")
    place = [str(each + 1) if isinstance(each, int) else each for each in first["loc"]]
    if first["type"] == "extra_forbidden":
        return one_line(f"{place[-1]} is not known{where(place)}; supported: budget (write [[budget]])")
    if first["type"] == "missing":
        return "it holds no [[budget]]"
    return one_line(f"{place[-1]}{where(place)}: {first['msg']}")


def where(place: Sequence[str]) -> str:
    """`` in [[budget]] 2`` for a place inside an entry; empty for any other."""
    return f" in [[budget]] {place[1]}" if len(place) > 2 else ""


def check(budget: Budget, measurements: Sequence[Measurement], failures: Sequence[Failure] = ()) -> list[Gate]:
    """Every limit of every entry on every measurement that it fits. What was not measured has not passed."""
    gates = []
    for entry in budget.budget:
        found = [gate for each in measurements if entry.takes(each) for gate in gates_of(entry, each)]
        found += [not_measured(each) for each in failures if entry.takes_failure(each)]
        gates += found or [Gate("measured", None, None, False, f"not measured: nothing fits {entry}", "-", entry.device)]
    return list(dict.fromkeys(gates))


def passed(gates: Sequence[Gate]) -> bool:
    """Whether every gate did."""
    return all(gate.passed for gate in gates)


def gates_of(entry: BudgetEntry, measurement: Measurement) -> Iterator[Gate]:
    """The gates of one entry for a measurement that fits it: the golden pair, then each limit."""
    lines = Documents((measurement,)).lines()
    line = next((each for each in lines if entry.threads in (None, each.row.threads)), None)
    file, device = measurement.artifact.file, measurement.device.name
    if line is None:
        yield Gate("measured", None, None, False, f"not measured with {entry.threads} threads", file, device, entry.threads)
        return
    yield golden(line)
    for name, limit in entry.limits().items():
        yield gate(name, limit, line)


def golden(line: Line) -> Gate:
    """The gate of the golden pair."""
    failed = [check for check in line.measurement.parity.checks if check.passed is False]
    reason = "passed" if line.passed else "; ".join(f"{check.name}: {check.detail}" for check in failed) or "failed"
    return Gate("golden", None, None, line.passed, reason, line.file, line.device, line.row.threads)


def gate(name: str, limit: float, line: Line) -> Gate:
    """One limit held against a line's figure. A figure that was not measured fails."""
    place = (line.file, line.device, line.row.threads)
    found = figure(name, line)
    if line.emulated and name in OF_THE_DEVICE:
        return Gate(name, limit, None, False, "not measured: the device is emulated", *place)
    if found is None:
        why = NOT_EVALUATED if name in metrics() else MISSING.get(name, "the document does not have it")
        return Gate(name, limit, None, False, f"not measured: {why}", *place)
    upper = name in AT_MOST or not metrics()[name].higher_is_better
    good = found <= limit if upper else found >= limit
    sign = ("<=" if good else ">") if upper else (">=" if good else "<")
    return Gate(name, limit, found, good, f"{found:.6g} {sign} {limit:g}", *place)


MISSING = {"drop_percent": "add --sustained MINUTES", "peak_mb": "the device does not say"}
NOT_EVALUATED = "the export made no such evaluation; give it --evaluation DIR"


def figure(name: str, line: Line) -> float | None:
    """A line's figure by its name in a budget; None where the document does not have it."""
    if name in metrics():
        return line.quality(name)
    if name == "drop_percent":
        return None if line.row.sustained is None else line.row.sustained.drop_percent
    places: tuple[object, ...] = (line, line.row, line.row.summary)
    value = next(getattr(each, name) for each in places if hasattr(each, name))
    return None if value is None else float(value)


def not_measured(failure: Failure) -> Gate:
    """The gate of an artifact that a device could not measure; it fails."""
    reason = f"not measured: {failure.error}: {failure.text}"
    return Gate("measured", None, None, False, reason, failure.file, failure.device)
