"""Timing: one worker per row, all alive at once, asked in turn, so that noise hits all alike."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.networks import ROOT, load_data
from bench.rows import Conversion, Task, close_pipes, death, environment, stop
from onenet.base.metrics import label_agreement, sqnr_db
from onenet.errors import OneNetError, ToolError

READY_S, SLACK_S = 300.0, 120.0
SEED = 0


class Worker:
    """A process that has loaded one row and times it on request."""

    def __init__(self, task: Task, threads: int, output: Path) -> None:
        """Start it and wait until it is warm.

        Raises:
            ToolError: the row does not load or run; the text is the reason.
        """
        self.log = output.with_suffix(".log")
        arguments = [task.peer, task.row.key, task.network_folder, task.folder, threads, output]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(task.python()), "-m", "bench.worker", "serve", *map(str, arguments)],
                cwd=ROOT,
                env=environment(task.base, threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            self.ready = self.read(READY_S)
        except BaseException:
            stop(self.process)
            raise

    def run(self, seconds: float) -> list[float]:
        """Seconds of each inference.

        Raises:
            ToolError: the worker died, or does not answer.
        """
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # reading says why
            self.process.stdin.write(f"run {seconds}\n")
            self.process.stdin.flush()
        return list(self.read(seconds + SLACK_S)["seconds"])

    def read(self, limit: float) -> dict[str, Any]:
        stdout = self.process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], limit)[0]:
            raise ToolError(f"no answer within {limit:.0f} s")
        line = stdout.readline()
        if not line:
            raise ToolError(death(self.process.wait(), self.log))
        answer: dict[str, Any] = json.loads(line)
        if "reason" in answer:
            raise ToolError(answer["reason"])
        return answer

    def close(self) -> None:
        """Let it end by itself; a few runtimes hang when they do."""
        close_pipes(self.process)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            stop(self.process)


def measure(
    conversions: Sequence[tuple[Task, Conversion]],
    threads: int,
    rounds: int,
    seconds: float,
    scratch: Path,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    """One result per row: with ``seconds`` (a list per round), or with the ``reason`` why not."""
    found = {task.name: result_of(task, conversion, threads) for task, conversion in conversions}
    with opened(conversions, found, threads, scratch, progress) as workers:
        order = random.Random(SEED)
        for number in range(rounds):
            names = list(workers)
            order.shuffle(names)
            for name in names:
                progress(f"{name}, round {number + 1} of {rounds}")
                try:
                    found[name]["seconds"].append(workers[name].run(seconds))
                except ToolError as error:
                    found[name] = {**found[name], "reason": f"stopped: {error}", "seconds": []}
                    stop(workers.pop(name).process)
    return [each for each in found.values() if each["reason"] or each["seconds"]]


def result_of(task: Task, conversion: Conversion, threads: int) -> dict[str, Any]:
    return {
        "row": task.name,
        "label": task.row.label,
        "precision": task.row.precision,
        "ours": task.row.ours,
        "threads": threads,
        "bytes": conversion.bytes,
        "conversion_s": conversion.seconds,
        "conversion": conversion.details,
        "reason": conversion.reason and f"conversion: {conversion.reason}",
        "seconds": [],
    }


@contextlib.contextmanager
def opened(
    conversions: Sequence[tuple[Task, Conversion]],
    found: dict[str, dict[str, Any]],
    threads: int,
    scratch: Path,
    progress: Callable[[str], None],
) -> Iterator[dict[str, Worker]]:
    """The workers of all rows that load; the reasons of the others go to ``found``."""
    workers: dict[str, Worker] = {}
    try:
        for task, conversion in conversions:
            if task.row.fallback and (conversion.reason or task.row.uses in workers):
                del found[task.name]
                continue
            if conversion.reason:
                continue
            progress(f"{task.name}, load")
            try:
                open_worker(task, threads, scratch, workers, found[task.name])
            except ToolError as error:
                found[task.name]["reason"] = str(error)
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def open_worker(task: Task, threads: int, scratch: Path, workers: dict[str, Worker], result: dict[str, Any]) -> None:
    import numpy as np

    output = scratch / f"{task.network.name}-{task.name.replace('/', '-')}-{threads}.npy"
    worker = Worker(task, threads, output)
    workers[task.name] = worker
    result.update(worker.ready)
    if output.exists():
        result.update(quality(load_data(task.network_folder)["logits"], np.load(output)))


def quality(expected: Any, found: Any) -> dict[str, Any]:
    """How far an output is from PyTorch's, on one image."""
    try:
        sqnr = sqnr_db(expected, found)
        agreement = label_agreement(expected.argmax(1), found.argmax(1))
    except OneNetError as error:
        return {"sqnr_db": None, "label_agreement": None, "note": f"wrong output: {error}"}
    return {"sqnr_db": round(min(max(sqnr, -99.0), 199.0), 1), "label_agreement": round(agreement, 5)}


def load_average() -> list[float]:
    """Over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def now() -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
