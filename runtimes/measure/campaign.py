"""Artifacts x devices: every cell measured once, each machine by a queue of its own, what is finished kept whatever happens.

A finished cell is a document in a folder. A campaign that was interrupted is started again on the same folder and goes on with
the cells that are not there.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onenet.base.files import sha256_of, temporary_folder
from onenet.base.process import end_all
from onenet.base.text import one_line
from onenet.errors import CheckError, OneNetError, ToolError
from onenet.runtimes import measuring
from onenet.runtimes.agent.content import artifact_info
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.devices import KINDS, Device, Job, open_device
from onenet.runtimes.measure import document
from onenet.runtimes.measure.document import Measurement
from onenet.runtimes.measure.documents import FAILURE_SUFFIX, Failure, failure_document

LONGEST_NAME = 80
"""Characters of an artifact's or device's name in that of a document: file systems end at 255 bytes of both."""
TRIES = 2
"""How often a cell is tried on a device that failed: a phone that was unplugged is plugged in again."""


@dataclass(frozen=True)
class Cell:
    """One document to be."""

    artifact: Path
    device: str
    runtime: str | None = None

    @property
    def name(self) -> str:
        """Name of its document, without the suffix: nothing in it but what every file system takes."""
        return plain(self.artifact.name) + self.place

    @property
    def place(self) -> str:
        """Where the cell is measured, as a part of a file name: ``@ssh_pi+tflite-runtime``."""
        return f"@{plain(self.device)}" + (f"+{self.runtime}" if self.runtime else "")


def plain(text: str) -> str:
    """A text as a part of a file name: letters, digits, dots, dashes and underscores; of a long one its ends and a digest."""
    name = re.sub("[^A-Za-z0-9._-]+", "_", text).strip("_")
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{name[: LONGEST_NAME // 2]}-{digest}-{name[-LONGEST_NAME // 2 :]}"


def names(cells: Iterable[Cell]) -> dict[Cell, str]:
    """Every cell's document; two artifacts of one name, as two widths of a model have, are told apart by their SHA-256."""
    named = {cell: cell.name for cell in cells}
    count = Counter(named.values())
    return {
        cell: name if count[name] == 1 else f"{plain(cell.artifact.name)}.{sha256_of(cell.artifact)[:8]}{cell.place}"
        for cell, name in named.items()
    }


def unwatched(cell: Cell, text: str) -> None:
    """The watch of a campaign that nobody watches."""
    del cell, text


Result = Measurement | Failure
Watch = Callable[[Cell, str], None]
"""Is told what happens to a cell, from the threads of the devices."""


@dataclass
class Store:
    """The folder of a campaign's documents."""

    folder: Path

    def finished(self, name: str, cell: Cell, plan: Plan) -> Measurement | None:
        """The cell's document, where it is of these bytes, this device and this plan."""
        path = self.folder / (name + document.SUFFIX)
        if not path.is_file():
            return None
        try:
            found = document.read(path)
        except CheckError:
            return None
        asked = plan.as_dict()
        same = (found.artifact.sha256, found.device.name, found.plan) == (sha256_of(cell.artifact), cell.device, asked)
        return found if same else None

    def keep(self, name: str, result: Result) -> None:
        """Write it whole or not at all; of a cell there is a measurement or a failure, never both."""
        suffixes = (document.SUFFIX, FAILURE_SUFFIX)
        final, other = (self.folder / (name + each) for each in suffixes[:: -1 if isinstance(result, Failure) else 1])
        with temporary_folder(self.folder) as folder:
            made = folder / final.name
            made.write_text(result.to_json(), encoding="utf-8")
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
    watch: Watch = unwatched
    results: dict[Cell, Result] = field(default_factory=dict)
    unkept: list[Failure] = field(default_factory=list)
    """Why a result, which is in ``results`` all the same, is no document in the store."""
    names: dict[Cell, str] = field(default_factory=dict)

    def run(self) -> dict[Cell, Result]:
        """Measure what is not finished, machines side by side, one cell of a machine after the other.

        Raises:
            RequestError: a device cannot be one; before anything is measured.
        """
        self.cells = list(dict.fromkeys(self.cells))
        self.names = names(self.cells)
        devices = {name: open_device(name) for name in dict.fromkeys(cell.device for cell in self.cells)}
        lanes: dict[str, list[Device]] = {}
        kinds = KINDS.cards()
        for device in devices.values():
            lanes.setdefault("here" if kinds[device.kind].on_this_machine else device.name, []).append(device)
        threads = [threading.Thread(target=self.run_lane, args=(lane,), daemon=True) for lane in lanes.values()]
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

    def run_lane(self, devices: Sequence[Device]) -> None:
        """Measure on devices that share a machine, one after the other."""
        for device in devices:
            self.run_device(device)

    def run_device(self, device: Device) -> None:
        """Measure a device's cells, or take their finished documents."""
        for cell in [each for each in self.cells if each.device == device.name]:
            if not self.cells:  # interrupted
                return
            finished = None if self.again else self.store.finished(self.names[cell], cell, self.plan)
            if finished is not None:
                self.watch(cell, "finished before")
            self.results[cell] = finished or self.measure(device, cell)

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
        kept = not self.cells or self.keep(cell, result)
        self.watch(cell, "failed" if isinstance(result, Failure) else "done" if kept else "measured, but not kept")
        return result

    def keep(self, cell: Cell, result: Result) -> bool:
        """Whether a result could be written; where not, the reason is in ``unkept``, and the other cells go on."""
        try:
            self.store.keep(self.names[cell], result)
        except (OneNetError, OSError, ValueError) as error:  # ValueError: a name that is no Unicode
            reason = ToolError(f"this result cannot be kept as a document: {one_line(error)}")
            self.unkept.append(failure_document(cell.artifact.name, cell.device, reason))
            return False
        return True


def measure(device: Device, job: Job) -> Measurement:
    """One measurement, as the document that is kept.

    Raises:
        OneNetError: as ``Device.measure``; CheckError also where the answer is no document.
    """
    answer = device.measure(job)
    told = answer.get("device")
    own = {
        "measured": document.now(),
        "artifact": artifact_info(job.artifact).as_dict(),
        "device": {**(told if isinstance(told, dict) else {}), "name": device.name, "kind": device.kind},
        "plan": job.plan.as_dict(),
    }
    return document.validate({**answer, **own}, f"the answer of {device.name}")


def cells_of(artifacts: Iterable[Path], devices: Iterable[str], runtimes: Sequence[str]) -> list[Cell]:
    """Every artifact on every device. ``runtimes``: packages of interpreters; those of another format are left out."""
    return [
        Cell(artifact, device, runtime)
        for artifact in artifacts
        for device in dict.fromkeys(devices)
        for runtime in interpreters(artifact, runtimes)
    ]


def interpreters(artifact: Path, runtimes: Sequence[str]) -> Sequence[str | None]:
    """The runtimes that open an artifact of those asked for; ``(None,)``, the device's own choice, where none does."""
    cards = measuring()
    return [name for name in runtimes if artifact.suffix in cards[name].suffixes] or [None]
