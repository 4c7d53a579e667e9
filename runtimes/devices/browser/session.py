"""One artifact measured in pages of a browser: what a page gets, what it answers, and the document's rows from that."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np

from onenet.base.host import all_cores
from onenet.base.text import one_line
from onenet.errors import RequestError, ToolError
from onenet.runtimes.agent import latency
from onenet.runtimes.agent.content import golden_inputs, judge_outputs, threads_row
from onenet.runtimes.agent.plan import MOST_SAMPLES
from onenet.runtimes.agent.records import Limit, Milliseconds, Minute, Parity, Record, Round, SustainedRun, ThreadsRow
from onenet.runtimes.artifact import manifest_of
from onenet.runtimes.devices import Job
from onenet.runtimes.devices.answers import read_as
from onenet.runtimes.devices.browser import host, packages
from onenet.spec import TensorSpec

PAGE = Path(__file__).with_name("page")
MINUTE_MS = 60_000.0
ANSWER_BYTES = 32 * MOST_SAMPLES + (1 << 20)
"""More than the samples of a round take in JSON."""
PEAK_METHOD = "WebAssembly memory after the last run, which never shrinks; the browser itself is not in it"


@dataclass(frozen=True)
class WebRuntime:
    """A runtime that a page loads."""

    name: str
    dtypes: tuple[str, ...]
    """What inputs and outputs may be."""
    kernels: str

    @property
    def version(self) -> str:
        """The version of its package."""
        return next(each.version for each in packages.PACKAGES if each.name in (self.name, "@litertjs/core"))


RUNTIMES = {
    ".onnx": WebRuntime("onnxruntime-web", ("float32", "float64", "int8", "uint8", "int32", "int64"), "wasm simd"),
    ".tflite": WebRuntime("litertjs", ("float32", "uint8", "int32"), "wasm relaxed simd, XNNPACK"),
}
"""Suffix -> what runs it."""


@dataclass(frozen=True)
class PageRound(Record):
    """What the page answers to a round; before it, it sends the outputs as raw bytes. See ``records.Round``."""

    load_ms: Milliseconds
    first_ms: Milliseconds
    warmup_runs: int
    samples_ms: Annotated[list[Milliseconds], Limit(shortest=1, longest=10_000)]
    resolution_ms: Milliseconds
    """The smallest step of ``performance.now()``."""
    peak_bytes: int | None = None


@dataclass(frozen=True)
class PageMinutes(Record):
    """What the page answers to a sustained run."""

    minutes: Annotated[list[Minute], Limit(shortest=1, longest=10_000)]


Answer = TypeVar("Answer", PageRound, PageMinutes)


class BrowserSession:
    """Measures one artifact, page by page, until its time is over.

    Args:
        program: the Chromium.

    Raises:
        RequestError: the browser cannot be asked this.
        CheckError: the artifact was not made by onenet.
    """

    def __init__(self, job: Job, program: str) -> None:
        self.job, self.program, self.runtime = job, program, RUNTIMES[job.artifact.suffix]
        self.file = one_line(job.artifact.name)
        manifest = manifest_of(job.artifact)
        self.inputs, self.outputs = manifest.inputs, manifest.outputs
        for spec in (*self.inputs, *self.outputs):
            check_dtype(spec, self.runtime, self.file)
        self.feeds = golden_inputs(job.artifact)
        self.deadline = time.monotonic() + job.plan.deadline()
        self.verdicts = list[Parity]()
        self.resolution_ms = 0.0

    def measure(self) -> list[ThreadsRow]:
        """A row for each number of threads.

        Raises:
            ToolError: as ``ask``.
        """
        return [self.row(threads) for threads in self.job.plan.threads or (all_cores(),)]

    def row(self, threads: int) -> ThreadsRow:
        """All rounds of one number of threads, and the sustained run."""
        rounds = [self.round(threads, number) for number in range(1, self.job.plan.rounds + 1)]
        sustained = self.sustained(threads) if self.job.plan.sustained_minutes else None
        return threads_row(threads, rounds, sustained=sustained, peak_method=PEAK_METHOD)

    def round(self, threads: int, number: int) -> Round:
        """One page: loaded, warmed up, sampled, its outputs judged."""
        self.job.say(f"measuring, {counted(threads)}, round {number} of {self.job.plan.rounds}")
        answer, outputs = self.ask(PageRound, threads, sustained_minutes=0.0)
        self.resolution_ms = max(self.resolution_ms, answer.resolution_ms)
        values = {spec.name: outputs[f"output{i}"] for i, spec in enumerate(self.outputs) if f"output{i}" in outputs}
        self.verdicts.append(judge_outputs(self.job.artifact, values))
        return Round(answer.load_ms, answer.first_ms, answer.warmup_runs, answer.samples_ms, answer.peak_bytes)

    def sustained(self, threads: int) -> SustainedRun:
        """One page that runs without pause."""
        minutes = self.job.plan.sustained_minutes
        self.job.say(f"running {minutes:g} min without pause, {counted(threads)}")
        answer, _ = self.ask(PageMinutes, threads, sustained_minutes=minutes)
        return SustainedRun(answer.minutes, latency.drop_percent([each.p50_ms for each in answer.minutes]))

    def ask(self, kind: type[Answer], threads: int, sustained_minutes: float) -> tuple[Answer, dict[str, bytes]]:
        """The answer of a new page, and what it sent before.

        Raises:
            ToolError: the page met an error, or answered something else.
        """
        seconds = max(1.0, self.deadline - time.monotonic())
        step = {
            **asdict(self.job.plan),
            "runtime": self.runtime.name,
            "threads": threads,
            "inputs": [{"name": name, "dtype": str(value.dtype), "shape": value.shape} for name, value in self.feeds.items()],
            "outputs": [spec.name for spec in self.outputs],
            "most_samples": MOST_SAMPLES,
            "minute_ms": MINUTE_MS,
            "seconds_left": seconds,
            "sustained_minutes": sustained_minutes,
        }
        answer, taken = host.answer(self.files(step), self.program, largest=self.largest(), seconds=seconds)
        name = f"{self.runtime.name} {self.runtime.version}"
        if isinstance(answer, dict) and isinstance(answer.get("error"), str):
            raise ToolError(f"{name} and {self.file}: {one_line(answer['error'])}")
        try:
            return read_as(kind, answer), taken
        except ValueError as error:
            raise ToolError(f"the page in {self.program} gave no measurement ({error})") from error

    def files(self, step: Mapping[str, object]) -> dict[str, bytes | Path]:
        """All that the page can reach. Names are ours: none comes from the artifact."""
        stored = [value.astype(value.dtype.newbyteorder("<")).tobytes() for value in self.feeds.values()]
        return {
            "": PAGE / "index.html",
            **{name: PAGE / name for name in ("runner.js", "runtimes.js", "timing.js")},
            "artifact": self.job.artifact.read_bytes(),
            "step": json.dumps(step).encode(),
            **{f"input{i}": data for i, data in enumerate(stored)},
            **packages.served(),
        }

    def largest(self) -> dict[str, int]:
        """How many bytes the page may send, by name."""
        outputs = [int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize for spec in self.outputs]
        return {"answer": ANSWER_BYTES, **{f"output{i}": size for i, size in enumerate(outputs)}}

    @property
    def parity(self) -> Parity:
        """The verdict of the first round that fails; where none does, of the first."""
        return next((each for each in self.verdicts if not each.passed), self.verdicts[0])


def check_dtype(spec: TensorSpec, runtime: WebRuntime, name: str) -> None:
    """
    Raises:
        RequestError: the runtime has no such tensors at its ends.
    """
    if spec.dtype not in runtime.dtypes:
        raise RequestError(
            f"{spec.name} of {name} is {spec.dtype}, which {runtime.name} does not take or give; "
            f"supported: {', '.join(runtime.dtypes)}; export with --io float"
        )


def counted(*threads: int) -> str:
    """``1 thread``, ``2 threads``, ``1 and 2 threads``."""
    return f"{' and '.join(map(str, threads))} thread{'s' * (threads != (1,))}"
