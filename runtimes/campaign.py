"""Artifacts x devices: every cell measured once, each device by a queue of its own, what is finished kept whatever happens.

A finished cell is a document in a folder. A campaign that was interrupted is started again on the same folder and goes on with the
cells that are not there.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onenet.errors import CheckError, OneNetError, RequestError, ToolError
from onenet.files import sha256_of, temporary_folder
from onenet.runtimes import document, outside
from onenet.runtimes.devices import Device, Job, open_device
from onenet.runtimes.devices.process import end_all
from onenet.runtimes.document import Measurement
from onenet.runtimes.latency import Plan
from onenet.runtimes.report.documents import FAILURE_SUFFIX, Failure, failure_document

TRIES = 2
"""Of a cell on a device that failed: a phone that was unplugged is plugged in again."""


@dataclass(frozen=True)
class Cell:
    """One document to be."""

    artifact: Path
    device: str
    runtime: str | None = None

    @property
    def name(self) -> str:
        """Of its document, without the suffix: nothing in it but what every file system takes."""
        parts = [self.artifact.name, "@", self.device, *(["+", self.runtime] if self.runtime else [])]
        return "".join(part if part in "@+" else re.sub("[^A-Za-z0-9._-]+", "_", part).strip("_") for part in parts)


Result = Measurement | Failure
Watch = Callable[[Cell, str], None]
"""Is told what happens to a cell, from the threads of the devices."""


@dataclass
class Store:
    """The folder of a campaign's documents."""

    folder: Path

    def path(self, cell: Cell, suffix: str = document.SUFFIX) -> Path:
        return self.folder / (cell.name + suffix)

    def finished(self, cell: Cell, plan: Plan) -> Measurement | None:
        """The cell's document, where it is of these bytes, this device and this plan."""
        path = self.path(cell)
        if not path.is_file():
            return None
        try:
            found = document.read(path)
        except CheckError:
            return None
        asked = document.plan_of(plan)
        same = (found.artifact.sha256, found.device.name, found.plan) == (sha256_of(cell.artifact), cell.device, asked)
        return found if same else None

    def keep(self, cell: Cell, result: Result) -> None:
        """Write it whole or not at all; of a cell there is a measurement or a failure, never both."""
        failed = isinstance(result, Failure)
        final, other = (self.path(cell, each) for each in (document.SUFFIX, FAILURE_SUFFIX)[:: -1 if failed else 1])
        with temporary_folder(self.folder) as folder:
            made = folder / final.name
            made.write_text(result.model_dump_json(by_alias=True, indent=1), encoding="utf-8")
            os.replace(made, final)
        other.unlink(missing_ok=True)


@dataclass
class Campaign:
    """Cells, and how they are measured.

    Args:
        again: measure finished cells as well.
        watch: told of every cell what happens to it.
    """

    cells: Sequence[Cell]
    plan: Plan
    store: Store
    again: bool = False
    watch: Watch = lambda cell, text: None
    results: dict[Cell, Result] = field(default_factory=dict)

    def run(self) -> dict[Cell, Result]:
        """Measure what is not finished, devices side by side, one cell of a device after the other.

        Raises:
            RequestError: two cells would have one document, or a device cannot be one; before anything is measured.
        """
        self.check_names()
        devices = {name: open_device(name) for name in dict.fromkeys(cell.device for cell in self.cells)}
        threads = [threading.Thread(target=self.run_device, args=(device,), daemon=True) for device in devices.values()]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)  # a join without end would hear no Ctrl-C on some systems
        except BaseException:
            self.cells = ()
            end_all()
            raise
        finally:
            for device in devices.values():
                device.close()
            for thread in threads:
                thread.join(10)
        return {cell: self.results[cell] for cell in self.cells}

    def check_names(self) -> None:
        seen: dict[str, Cell] = {}
        for cell in self.cells:
            other = seen.setdefault(cell.name, cell)
            if other is not cell:
                raise RequestError(f"{other.artifact} and {cell.artifact} on {cell.device} would share {cell.name}{document.SUFFIX}")

    def run_device(self, device: Device) -> None:
        for cell in [each for each in self.cells if each.device == device.name]:
            if not self.cells:  # interrupted
                return
            found = None if self.again else self.store.finished(cell, self.plan)
            if found is not None:
                self.watch(cell, "finished before")
            else:
                found = self.measure(device, cell)
            self.results[cell] = found

    def measure(self, device: Device, cell: Cell) -> Result:
        """The cell's document, or why there is none; either is kept."""
        for attempt in range(1, TRIES + 1):
            try:
                job = Job(cell.artifact, self.plan, cell.runtime, lambda text: self.watch(cell, text))
                result: Result = measure(device, job)
                break
            except OneNetError as error:
                result = failure_document(cell.artifact.name, device.name, error)
                if not isinstance(error, ToolError) or not self.cells:
                    break
                self.watch(cell, f"failed ({attempt} of {TRIES})")
            except Exception as error:  # a defect of ours: other cells go on
                result = failure_document(cell.artifact.name, device.name, error)
                break
        if self.cells:
            self.store.keep(cell, result)
        self.watch(cell, "failed" if isinstance(result, Failure) else "done")
        return result


def measure(device: Device, job: Job) -> Measurement:
    """One measurement, as the document that is kept.

    Raises:
        OneNetError: as ``Device.measure``; CheckError also where the answer is no document.
    """
    answer = device.measure(job)
    told = answer.get("device")
    own = {
        "measured": document.now(),
        "artifact": outside.artifact_info(job.artifact),
        "device": {**(told if isinstance(told, dict) else {}), "name": device.name, "kind": device.kind},
        "plan": document.plan_of(job.plan),
    }
    return document.validate({**answer, **own}, f"the answer of {device.name}")


def cells_of(artifacts: Iterable[Path], devices: Iterable[str], runtimes: Sequence[str]) -> list[Cell]:
    """Every artifact on every device. ``runtimes``: packages of interpreters; those of another format are left out."""
    return [
        Cell(artifact, device, runtime)
        for artifact in artifacts
        for device in dict.fromkeys(devices)
        for runtime in [name for name in runtimes if runs(name, artifact)] or [None]
    ]


def runs(runtime: str, artifact: Path) -> bool:
    return FORMATS[runtime] == artifact.suffix


FORMATS = {"ai-edge-litert": ".tflite", "tflite-runtime": ".tflite", "benchmark_model": ".tflite", "onnxruntime": ".onnx"}
"""Interpreter -> what it runs."""
