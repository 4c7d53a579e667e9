"""What is measured, and its conversion: cached, in a process of its own, with a time limit."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import peers
from bench.environments import python_of
from bench.networks import ROOT, Network, hash_of, network_id
from bench.peers import Row
from onenet.errors import ToolError

LIMIT_S = 600
STAMP = "converted.json"
OURS = ("onenet", "export", "calibration")
"""Folders whose change makes our own conversions stale."""


@dataclass(frozen=True)
class Task:
    """One row of one network, and where its files are."""

    peer: str
    row: Row
    network: Network
    base: Path

    @property
    def name(self) -> str:
        return f"{self.peer}/{self.row.key}"

    @property
    def module(self) -> Any:
        return peers.peer(self.peer)

    @property
    def network_folder(self) -> Path:
        return self.base / "networks" / self.network.name

    @property
    def folder(self) -> Path:
        """Of the row's files; where it uses another row's, of that one's."""
        owner = self.row.uses or self.name
        place = "machine" if getattr(self.module, "SHARED", False) else self.network.name
        return self.base / "rows" / place / owner.replace("/", "-")

    def python(self, retry: bool = False) -> Path:
        return python_of(self.peer, self.module.REQUIREMENTS, self.base / "venvs", retry=retry)

    def key(self) -> str:
        """What the conversion depends on."""
        owner = peers.peer((self.row.uses or self.name).split("/")[0])
        parts = [*owner.REQUIREMENTS, hash_of(Path(str(owner.__file__)))]
        if not getattr(owner, "SHARED", False):
            parts.append(network_id(self.network))
        if not owner.REQUIREMENTS:  # this repository's own code made it
            parts.append(hash_of(*(ROOT / each for each in OURS)))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass
class Conversion:
    """How a row's files came to be; ``reason`` says why there are none."""

    key: str
    seconds: float
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    bytes: int = 0


def tasks(network: Network, base: Path, words: Sequence[str] = ()) -> list[Task]:
    """The rows of a network whose name, label or precision holds one of the words; all of them without."""
    every = [Task(name, row, network, base) for name in peers.NAMES for row in peers.peer(name).ROWS]
    return [t for t in every if not words or any(w in f"{t.name} {t.row.label} {t.row.precision}" for w in words)]


def convert(task: Task, *, retry: bool = False) -> Conversion:
    """The cached conversion if nothing that it depends on has changed, else a new one.

    Failures are kept as well, unless ``retry``.
    """
    if task.row.uses and (owner := owner_of(task)) is not None:
        return convert(owner, retry=retry)
    with locked(task.folder):
        key, stamp = task.key(), task.folder / STAMP
        if stamp.exists():
            known = Conversion(**json.loads(stamp.read_text()))
            if known.key == key and not (known.reason and retry):
                return known
        return convert_anew(task, key, stamp, retry)


def convert_anew(task: Task, key: str, stamp: Path, retry: bool) -> Conversion:
    shutil.rmtree(task.folder, ignore_errors=True)
    task.folder.mkdir(parents=True)
    began = time.monotonic()
    done = run_conversion(task, retry)
    found = Conversion(key, round(time.monotonic() - began, 1), **done)
    found.bytes = sum((task.folder / name).stat().st_size for name in found.details.get("files", []))
    temporary = stamp.with_suffix(".tmp")
    temporary.write_text(json.dumps(found.__dict__, indent=1) + "\n")
    os.replace(temporary, stamp)
    return found


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Two runs at once must not convert into the same folder; the second waits, and finds what the first made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def owner_of(task: Task) -> Task | None:
    """The task whose files this one runs."""
    return next((t for t in tasks(task.network, task.base) if t.name == task.row.uses), None)


def run_conversion(task: Task, retry: bool) -> dict[str, Any]:
    try:
        python = task.python(retry)
    except ToolError as error:
        return {"reason": str(error)}
    arguments = [task.peer, task.row.key, str(task.network_folder), str(task.folder)]
    command = [str(python), "-m", "bench.worker", "convert", *arguments]
    with (task.folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(task.base), stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            output, _ = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            stop(process)
            return {"reason": f"conversion did not finish within {LIMIT_S} s"}
        except BaseException:  # Ctrl-C: a converter's own children must not stay
            stop(process)
            raise
    answer = json.loads(output.strip().splitlines()[-1]) if output.strip() else {}
    if "done" in answer:
        return {"details": answer["done"]}
    return {"reason": answer.get("reason") or death(process.returncode, task.folder / "log.txt")}


def environment(base: Path, threads: int | None = None) -> dict[str, str]:
    """For a peer's process. Its caches stay below ``base``, and its reports of use are off."""
    (base / "home").mkdir(parents=True, exist_ok=True)
    changed = {
        "PYTHONWARNINGS": "ignore",
        "HOME": str(base / "home"),
        "XDG_CACHE_HOME": str(base / "home" / ".cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(base / "inductor"),
        "ORT_DISABLE_TELEMETRY": "1",
        "CI": "true",  # what OpenVINO's telemetry asks for
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    if threads is not None:
        changed["OMP_NUM_THREADS"] = changed["MKL_NUM_THREADS"] = str(threads)
    return {**os.environ, **changed}


def stop(process: subprocess.Popen[str]) -> None:
    """End a process and the group that it leads."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    close_pipes(process)


def close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # closing flushes
                pipe.close()


def death(status: int | None, log: Path) -> str:
    """Why a process ended that said nothing: its signal or status, and its last word."""
    how = f"killed by {signal.Signals(-status).name}" if status is not None and status < 0 else f"exit status {status}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return f"{how}: {lines[-1][:200]}" if lines else how
