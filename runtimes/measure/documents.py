"""Measurements and failures from files and folders: what reports, comparisons and budgets are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onenet.base.data import parse_json
from onenet.base.text import one_line
from onenet.errors import CheckError, RequestError
from onenet.runtimes.agent.records import ArtifactInfo, Record, Text, ThreadsRow
from onenet.runtimes.devices.answers import read_as
from onenet.runtimes.measure import document
from onenet.runtimes.measure.document import Measurement

FAILURE_SUFFIX = ".failure.json"
LARGEST_FAILURE = 1 << 20
"""Bytes."""
MOST = 5000
"""Documents of one report."""


@dataclass(frozen=True, kw_only=True)
class Failure(Record):
    """An artifact that a device could not measure. ``artifact`` is its file name alone where it could not be read."""

    schema: Literal[1] = 1
    artifact: ArtifactInfo | Text
    device: Text
    error: Text
    """Name of the error, e.g. ``ToolError``."""
    text: Text

    @property
    def file(self) -> str:
        """Name of the artifact's file."""
        return self.artifact if isinstance(self.artifact, str) else self.artifact.file

    def to_json(self) -> str:
        """As it is written to a file."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1)


def failure_document(artifact: ArtifactInfo | str, device: str, error: Exception) -> Failure:
    """What is kept of a measurement that failed.

    Args:
        artifact: its file's name where no more is known.
        device: as the user asked for it.
    """
    what = artifact if isinstance(artifact, str) else artifact.as_dict()
    content = {"artifact": what, "device": device[:2000], "error": type(error).__name__, "text": one_line(error)[:2000]}
    return read_as(Failure, content)


@dataclass(frozen=True)
class Documents:
    """What a report, a comparison or a budget is made of."""

    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...] = ()

    def lines(self) -> list[Line]:
        """One for every number of threads of every measurement: by device, then model, then the fastest first."""
        found = [Line(each, row) for each in self.measurements for row in each.rows]
        return sorted(found, key=lambda line: (line.emulated, line.device, line.measurement.artifact.model, line.p50_ms))


@dataclass(frozen=True)
class Line:
    """One row of a measurement together with what it is a row of."""

    measurement: Measurement
    row: ThreadsRow

    @property
    def device(self) -> str:
        """The device, as the user asked for it."""
        return self.measurement.device.name

    @property
    def emulated(self) -> bool:
        """Then its times and its memory are the emulator's."""
        return self.measurement.device.emulated is not None

    @property
    def file(self) -> str:
        """The artifact's file name."""
        return self.measurement.artifact.file

    @property
    def runtime(self) -> str:
        """The runtime with its version."""
        return f"{self.measurement.runtime.name} {self.measurement.runtime.version}".strip()

    @property
    def p50_ms(self) -> float:
        """Median of one inference in ms."""
        return self.row.summary.p50_ms

    @property
    def fps(self) -> float | None:
        """Images a second, one after the other, at the median."""
        return 1000 / self.p50_ms if self.p50_ms else None

    @property
    def size_mb(self) -> float:
        """The artifact's size in MB."""
        return self.measurement.artifact.bytes / 1e6

    @property
    def peak_mb(self) -> float | None:
        """Largest resident memory in MB; None where the device does not say."""
        return None if self.row.peak_bytes is None else self.row.peak_bytes / 1e6

    @property
    def passed(self) -> bool:
        """Whether the golden pair was right on the device."""
        return self.measurement.parity.passed

    @property
    def compared(self) -> bool:
        """Whether there was a golden pair to compare with."""
        return self.measurement.parity.compared

    @property
    def verdict(self) -> str:
        """The verdict in a word."""
        return {True: "passed", False: "FAILED", None: "–"}[self.golden]

    @property
    def golden(self) -> bool | None:
        """The verdict of the golden pair; None where there was none."""
        return self.passed if self.compared or not self.passed else None

    def quality(self, name: str) -> float | None:
        """A figure of the artifact's quality by its metric's name; None where it was not evaluated."""
        value = self.measurement.artifact.quality.get(name)
        return None if value is None else float(value)


def load(paths: Sequence[Path]) -> Documents:
    """Every measurement and failure among these files and below these folders; each file once.

    Raises:
        RequestError: a path that is not there, or nothing found.
        CheckError: a document that is damaged or foreign; says which, and what is wrong.
    """
    files = sorted(set(find(paths)))
    if not files:
        looked = ", ".join(map(str, paths))
        raise RequestError(f"no *{document.SUFFIX} under {looked}; `onenet bench ARTIFACT --device DEVICE` writes them")
    if len(files) > MOST:
        raise RequestError(f"{len(files)} documents are more than one report can show ({MOST}); give fewer")
    failures = [file for file in files if file.name.endswith(FAILURE_SUFFIX)]
    return Documents(
        tuple(document.read(file) for file in files if file not in failures), tuple(read_failure(file) for file in failures)
    )


def find(paths: Iterable[Path]) -> Iterator[Path]:
    """Every document among these files and below these folders. Raises RequestError for a path that is not there."""
    for path in paths:
        if path.is_dir():
            for suffix in (document.SUFFIX, FAILURE_SUFFIX):
                yield from (each.resolve() for each in path.rglob(f"*{suffix}") if each.is_file())
        elif path.exists():
            yield path.resolve()
        else:
            raise RequestError(f"{path} does not exist; give *{document.SUFFIX} files, or folders that hold them")


def read_failure(path: Path) -> Failure:
    """
    Raises:
        CheckError: it cannot be read, is too large, or is not a failure of schema 1.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_FAILURE + 1)
        if len(data) > LARGEST_FAILURE:
            raise CheckError(f"{path} is not a failure: larger than {LARGEST_FAILURE} bytes")
        content = parse_json(data)
    except OSError as error:
        raise CheckError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise CheckError(f"{path} is not a failure: not JSON ({one_line(error)})") from error
    try:
        return read_as(Failure, content)
    except ValueError as error:
        raise CheckError(f"{path} is not a failure: {error}") from error
