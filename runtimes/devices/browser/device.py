"""A headless Chromium on this machine: .onnx in onnxruntime-web, .tflite in LiteRT.js, both in WebAssembly on the CPU.

Every round is a browser of its own, with one page in a fresh profile. See ``docs/browser.md``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field, ValidationError

from onenet.base.host import all_cores
from onenet.base.text import one_line
from onenet.errors import RequestError, ToolError
from onenet.runtimes.agent import content as outside
from onenet.runtimes.agent import latency, machine
from onenet.runtimes.agent.plan import MOST_SAMPLES
from onenet.runtimes.agent.program import watching
from onenet.runtimes.artifact import manifest_of
from onenet.runtimes.devices import Device, Examination, Finding, Job
from onenet.runtimes.devices.browser import host, packages
from onenet.runtimes.document import Milliseconds, Minute, Record, Round, problem
from onenet.runtimes.tensors import read_spec
from onenet.spec import TensorSpec

PAGE = Path(__file__).with_name("page")
MINUTE_MS = 60_000.0
ANSWER_BYTES = 32 * MOST_SAMPLES + (1 << 20)
"""More than the samples of a round take in JSON."""
PEAK_METHOD = "WebAssembly memory after the last run, which never shrinks; the browser itself is not in it"
INSTALL_CHROMIUM = "sudo apt install chromium, or name one that is elsewhere: browser:/path/of/chromium"


@dataclass(frozen=True)
class Runtime:
    name: str
    dtypes: tuple[str, ...]
    """Of inputs and outputs."""
    kernels: str

    @property
    def version(self) -> str:
        return next(each.version for each in packages.PACKAGES if each.name in (self.name, "@litertjs/core"))


RUNTIMES = {
    ".onnx": Runtime("onnxruntime-web", ("float32", "float64", "int8", "uint8", "int32", "int64"), "wasm simd"),
    ".tflite": Runtime("litertjs", ("float32", "uint8", "int32"), "wasm relaxed simd, XNNPACK"),
}
"""Suffix -> what runs it."""


class PageRound(Round):
    """What the page answers to a round; before it, the outputs as raw bytes."""

    resolution_ms: Milliseconds
    """The smallest step of ``performance.now()``."""


class PageMinutes(Record):
    minutes: Annotated[list[Minute], Field(min_length=1, max_length=10_000)]


Answer = TypeVar("Answer", bound=Record)


class Page:
    """Measures one artifact, page by page, until its time is over."""

    def __init__(self, job: Job, program: str) -> None:
        self.job, self.program, self.runtime = job, program, RUNTIMES[job.artifact.suffix]
        self.file = one_line(job.artifact.name)
        manifest = manifest_of(job.artifact)
        self.inputs, self.outputs = (tuple(map(read_spec, manifest[kind])) for kind in ("inputs", "outputs"))
        for spec in (*self.inputs, *self.outputs):
            check_dtype(spec, self.runtime, self.file)
        self.feeds = outside.golden_inputs(job.artifact)
        self.deadline = time.monotonic() + job.plan.deadline()
        self.verdicts = list[dict[str, Any]]()
        self.resolution_ms = 0.0

    def measure(self) -> list[dict[str, Any]]:
        """A row for each number of threads."""
        return [self.row(threads) for threads in self.job.plan.threads or (all_cores(),)]

    def row(self, threads: int) -> dict[str, Any]:
        rounds = [self.round(threads, number) for number in range(1, self.job.plan.rounds + 1)]
        sustained = self.sustained(threads) if self.job.plan.sustained_minutes else None
        return outside.row(threads, rounds, sustained=sustained, peak_method=PEAK_METHOD)

    def round(self, threads: int, number: int) -> dict[str, Any]:
        self.job.say(f"measuring, {counted(threads)}, round {number} of {self.job.plan.rounds}")
        found, outputs = self.ask(PageRound, threads, sustained_minutes=0.0)
        self.resolution_ms = max(self.resolution_ms, found.resolution_ms)
        values = {spec.name: outputs[f"output{i}"] for i, spec in enumerate(self.outputs) if f"output{i}" in outputs}
        self.verdicts.append(outside.judge(self.job.artifact, values))
        return found.model_dump(exclude={"resolution_ms"})

    def sustained(self, threads: int) -> dict[str, Any]:
        minutes = self.job.plan.sustained_minutes
        self.job.say(f"running {minutes:g} min without pause, {counted(threads)}")
        found, _ = self.ask(PageMinutes, threads, sustained_minutes=minutes)
        drop_percent = latency.drop_percent([each.p50_ms for each in found.minutes])
        return {**found.model_dump(), "drop_percent": drop_percent}

    def ask(self, kind: type[Answer], threads: int, **more: Any) -> tuple[Answer, dict[str, bytes]]:
        """The answer of a new page, which is checked to be one, and what it sent before.

        Raises:
            ToolError: it found an error, or answered something else.
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
            **more,
        }
        found, taken = host.answer(self.files(step), self.program, largest=self.largest(), seconds=seconds)
        name = f"{self.runtime.name} {self.runtime.version}"
        if isinstance(found, dict) and isinstance(found.get("error"), str):
            raise ToolError(f"{name} and {self.file}: {one_line(found['error'])}")
        try:
            return kind.model_validate(found), taken
        except ValidationError as error:
            raise ToolError(f"the page in {self.program} gave no measurement ({problem(error)})") from error

    def files(self, step: Mapping[str, Any]) -> dict[str, bytes | Path]:
        """All that the page can reach. Names are ours: none comes from the artifact."""
        stored = [value.astype(value.dtype.newbyteorder("<")).tobytes() for value in self.feeds.values()]
        return {
            "": PAGE / "index.html",
            **{name: PAGE / name for name in ("runner.js", "timing.js")},
            "artifact": self.job.artifact.read_bytes(),
            "step": json.dumps(step).encode(),
            **{f"input{i}": data for i, data in enumerate(stored)},
            **packages.served(),
        }

    def largest(self) -> dict[str, int]:
        """Bytes of what the page may send."""
        outputs = [int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize for spec in self.outputs]
        return {"answer": ANSWER_BYTES, **{f"output{i}": size for i, size in enumerate(outputs)}}

    @property
    def parity(self) -> dict[str, Any]:
        """Of the first round that fails; where none does, of the first."""
        return next((each for each in self.verdicts if not each["passed"]), self.verdicts[0])


class Browser(Device):
    """A headless Chromium on this machine.

    Args:
        path: of the program; "" for the first one on PATH.
    """

    def __init__(self, path: str) -> None:
        super().__init__("browser", path)
        self.path = path

    def measure(self, job: Job) -> dict[str, Any]:
        check_job(job)
        page = Page(job, self.ready())
        start, busy = time.monotonic(), machine.busy_percent()
        device, states = self.device(page.program), [machine.state(start)]
        with watching(states, start):
            rows = page.measure()
        states.append(machine.state(start))
        rows[0]["states"] = states
        cautions = machine.cautions(device, states[0], states[-1], busy)
        if job.plan.profile:
            detail = f"{page.runtime.name} does not say how long its operators take"
            cautions.append({"name": "no-profile", "detail": detail})
        kernels = f"{page.runtime.kernels}, {counted(*(row['threads'] for row in rows))}"
        runtime = {"name": page.runtime.name, "version": page.runtime.version, "kernels": kernels}
        timed = f"{outside.TIMED}; by performance.now(), in steps of {page.resolution_ms:g} ms"
        return outside.content(job.artifact, device, runtime, page.parity, job.plan, rows, cautions, timed=timed)

    def ready(self) -> str:
        """The program to start.

        Raises:
            ToolError: it, or what the page needs, is not there.
        """
        program = host.find(self.path)
        if program is None:
            raise ToolError(f"no Chromium is on PATH ({', '.join(host.NAMES)}); {INSTALL_CHROMIUM}")
        if packages.missing():
            names = ", ".join(f"{each.name} {each.version}" for each in packages.missing())
            raise ToolError(f"{names} missing in {packages.cache()}; {self.setup_command}")
        return program

    @property
    def setup_command(self) -> str:
        return f"onenet doctor --device {self.name} --setup"

    def device(self, program: str) -> dict[str, Any]:
        own = machine.identity()
        system = f"{host.version(program)}, {own['system']}"
        return {**own, "name": self.name, "kind": self.kind, "system": system, "python": None, "libc": None}

    def examine(self) -> Examination:
        program, npm = host.find(self.path), packages.npm()
        own: dict[str, Any] = {**machine.identity(), "name": self.name, "kind": self.kind}
        if program is None:
            browser = Finding("Chromium", "not on PATH", False, INSTALL_CHROMIUM)
        else:
            browser = Finding("Chromium", f"{host.version(program)} ({program})")
        missing = packages.missing()
        found = [
            Finding(each.name, f"{each.version} missing", False, self.setup_command)
            if each in missing
            else Finding(each.name, f"{each.version} ({each.folder})")
            for each in packages.PACKAGES
        ]
        needed = Finding("npm", npm or "not on PATH", npm is not None, "" if npm else packages.INSTALL_NPM)
        return Examination(own, (browser, *([needed] if missing else []), *found))

    def set_up(self, say: Callable[[str], None]) -> None:
        packages.install(say)

    def clean(self) -> None:
        packages.remove()


def check_job(job: Job) -> None:
    """Raises:
    RequestError: the browser cannot be asked this.
    """
    if job.artifact.suffix not in RUNTIMES:
        supported = ", ".join(f"{suffix} ({runtime.name})" for suffix, runtime in RUNTIMES.items())
        raise RequestError(f"{one_line(job.artifact.name)} cannot be measured in a browser; supported: {supported}")
    if job.plan.cores:
        raise RequestError("a browser cannot be bound to cores; leave --cores out")


def check_dtype(spec: TensorSpec, runtime: Runtime, name: str) -> None:
    """Raises:
    RequestError: the runtime has no such tensors at its ends.
    """
    if spec.dtype not in runtime.dtypes:
        raise RequestError(
            f"{spec.name} of {name} is {spec.dtype}, which {runtime.name} does not take or give; "
            f"supported: {', '.join(runtime.dtypes)}; export with --io float"
        )


def counted(*threads: int) -> str:
    return f"{' and '.join(map(str, threads))} thread{'s' * (threads != (1,))}"
