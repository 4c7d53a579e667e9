"""A campaign as a file: what to export, what else to measure, where, and how. TOML, read strictly.

devices = ["local", "ssh:pi@raspberrypi"]
artifacts = ["build/*.onnx"]          # made before; relative to this file

[[export]]                            # options of `onenet export` by their long names
model = "onenet-ed4"
target = ["tflite", "onnx"]
precision = ["fp32", "int8"]

[plan]                                # what `onenet bench` calls --threads, --runs, --seconds ...
threads = [1, 4]
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from onenet import __version__
from onenet.base.toml import read_toml
from onenet.errors import RequestError
from onenet.exporters.options import ExportOptions, option_of
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.devices.answers import problem

NOT_HERE = ("out", "json", "preview")
"""Options of ``onenet export`` that a campaign decides itself."""
Value = bool | int | float | str
ExportEntry = dict[str, Value | list[Value]]
"""An ``[[export]]``: options by their long names."""


class PlanEntry(BaseModel):
    """``latency.Plan``, all of it optional."""

    model_config = ConfigDict(extra="forbid")

    threads: list[int] = []
    runs: int | None = None
    seconds: float | None = None
    rounds: int | None = None
    cores: list[int] = []
    sustained_minutes: float | None = None
    profile: bool | None = None
    timeout: float | None = None

    def plan(self) -> Plan:
        """The plan, with defaults for what the file leaves out."""
        given: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in self.model_dump(exclude_none=True).items()
        }
        return Plan(**given)


class Matrix(BaseModel):
    """What the file says. Paths in it are relative to ``folder``, where it lies."""

    model_config = ConfigDict(extra="forbid")

    folder: Path = Field(exclude=True)
    devices: Annotated[list[str], Field(min_length=1)] = ["local"]
    artifacts: list[str] = []
    runtimes: list[str] = []
    export: list[ExportEntry] = []
    plan: PlanEntry = PlanEntry()

    @field_validator("export")
    @classmethod
    def options(cls, entries: list[ExportEntry]) -> list[ExportEntry]:
        """Held against the options of an export: same names, same types."""
        for entry in entries:
            for name in NOT_HERE:
                if name in entry:
                    raise ValueError(f"{name!r} is no option of an export in a campaign")
            try:
                ExportOptions.from_entry(entry)
            except RequestError as error:
                raise ValueError(str(error)) from error
        return entries

    def found(self) -> list[Path]:
        """The artifacts that are there already.

        Raises:
            RequestError: a pattern that matches nothing.
        """
        paths = []
        for pattern in self.artifacts:
            matches = sorted(p for p in self.folder.glob(pattern) if not p.name.endswith((".json", ".png")))
            if not matches:
                raise RequestError(f"artifacts {pattern!a:.200} matches no file under {self.folder}")
            paths += matches
        return paths


def read(path: Path) -> Matrix:
    """
    Raises:
        RequestError: it cannot be read, is no TOML, or holds what a campaign does not have; says which.
    """
    content = read_toml(path, "campaign")
    try:
        matrix = Matrix(**{**content, "folder": path.absolute().parent})
    except ValidationError as error:
        raise RequestError(f"campaign {path}: {problem(error)}; docs/measuring.md shows one") from error
    if not matrix.export and not matrix.artifacts:
        raise RequestError(f"campaign {path} names nothing to measure; give artifacts = [...] or [[export]]")
    return matrix


def arguments(entry: Mapping[str, object]) -> list[str]:
    """An ``[[export]]`` as the arguments of ``onenet export``: lists of texts repeat the option, numbers are its values."""
    words: list[str] = []
    for name, value in entry.items():
        values = value if isinstance(value, list) else [value]
        if value is True:
            words.append(f"--{name}")
        elif value is False:
            words += [f"--no-{name}"] if can_be_refused(name) else []
        elif all(isinstance(each, str) for each in values):
            words += [f"--{name}={each}" for each in values]
        else:
            words += [f"--{name}", *map(str, values)]
    return words


def can_be_refused(name: str) -> bool:
    """Whether an option that is yes or no has a ``--no-`` form; without one it is no unless it is given."""
    return any("/--no-" in flag for flag in option_of(name.replace("-", "_")).flags)


def key_of(entry: Mapping[str, object]) -> str:
    """Names the artifacts of an ``[[export]]``: another entry or another version of onenet has another."""
    text = json.dumps([__version__, entry], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
