"""An Android phone through the user's own adb: a native runner is pushed there, and its outputs are judged on the host."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

from onenet.base.files import temporary_folder
from onenet.base.text import one_line
from onenet.errors import RequestError, ToolError
from onenet.runtimes.agent import machine
from onenet.runtimes.agent.content import golden_inputs, make_content, threads_row
from onenet.runtimes.agent.records import DeviceInfo, State, ThreadsRow
from onenet.runtimes.devices import Device, Examination, Finding, Job, native
from onenet.runtimes.devices.adb import android
from onenet.runtimes.devices.adb.bridge import COMMAND_SECONDS, FOLDER, Bridge
from onenet.runtimes.devices.adb.runners import BenchmarkModel, Files, NativeRunner, Runner, write_inputs

RUNTIMES = {
    ".tflite": {"ai-edge-litert": "litert", "benchmark_model": "benchmark_model"},
    ".onnx": {"onnxruntime": "onnxruntime"},
}
"""Suffix -> name that a user knows -> the runner's name; the first is the default."""
ABI = "arm64-v8a"
WATCH_SECONDS = 30.0
"""Between two looks at the phone during a sustained run. Each takes some 0.1 s of one of its cores."""


class Phone(Device):
    """An Android phone.

    Args:
        address: its serial; "" for the only one that adb knows.
    """

    def __init__(self, address: str) -> None:
        super().__init__("adb", address)
        self.bridge = Bridge(self.name, address)

    def measure(self, job: Job) -> dict[str, object]:
        start, runtime = time.monotonic(), runtime_of(job, self.name)
        inputs = golden_inputs(job.artifact)
        bundle = None if runtime == "benchmark_model" else native.find()
        job.say("connecting")
        self.bridge.connect()
        device = self.identity()
        files = Files.of(job.artifact)
        with temporary_folder() as scratch:
            needed = {files.model: job.artifact, **write_inputs(inputs, scratch, files.inputs)}
            self.push(needed, bundle, runtime, job.say)
        runner = NativeRunner(self.bridge, job, files, bundle, runtime) if bundle else BenchmarkModel(self.bridge, job, files)
        try:
            rows = [self.row(job, runner, threads, start) for threads in job.plan.threads or (device.cores or 1,)]
        finally:
            with contextlib.suppress(ToolError):  # a phone that is gone has said so
                runner.end()
        cautions = [*machine.cautions(device, rows[0].states[0], rows[-1].states[-1]), *runner.cautions]
        interpreter, parity = runner.verdict()
        return make_content(job.artifact, device, interpreter, parity, job.plan, rows, cautions).as_dict()

    def row(self, job: Job, runner: Runner, threads: int, start: float) -> ThreadsRow:
        """All rounds of one number of threads; the last goes on for the plan's ``sustained_minutes``."""
        plan, runs, states = job.plan, [], [self.state(start)]
        for number in range(plan.rounds):
            minutes = plan.sustained_minutes if number == plan.rounds - 1 else 0.0
            job.say(f"measuring, {threads} thread{'s' * (threads > 1)}, round {number + 1} of {plan.rounds}")
            with self.watch_state(start, states, minutes):
                runs.append(runner.run(threads, minutes, start + plan.deadline() - time.monotonic()))
            states.append(self.state(start))
        baselines = [run.baseline_bytes for run in runs if run.baseline_bytes]
        return threads_row(
            threads,
            [run.round for run in runs],
            states,
            cores=plan.cores,
            baseline_bytes=round(median(baselines)) if len(baselines) == len(runs) else None,
            peak_method=runner.peak_method,
            sustained=runs[-1].sustained,
        )

    @contextlib.contextmanager
    def watch_state(self, start: float, states: list[State], minutes: float) -> Iterator[None]:
        """In a sustained run, note the phone's state from time to time."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(WATCH_SECONDS):
                with contextlib.suppress(ToolError):  # the run itself says it
                    states.append(self.state(start))

        watcher = threading.Thread(target=watch, daemon=True)
        if minutes:
            watcher.start()
        try:
            yield
        finally:
            over.set()
            if minutes:
                watcher.join(COMMAND_SECONDS)

    def examine(self) -> Examination:
        self.bridge.connect()
        answer = self.answers(android.IDENTITY)
        abi, state = android.abi(answer), android.state(self.answers(android.STATE), 0)
        checks, pushed = self.bridge.has("sha256sum"), self.bridge.has(f"{FOLDER}/native/{native.RUNNER}")
        lines = [
            Finding("processor", abi, abi == ABI, "" if abi == ABI else f"a phone that runs {ABI} programs"),
            Finding("sha256sum", "there" if checks else "missing", checks, "" if checks else "Android 8 or newer"),
            native_runner(),
            Finding("pushed", "the native runner" if pushed else "nothing yet; the first measurement does", pushed or None),
        ]
        if state.throttled not in (None, "no"):
            lines.append(Finding("throttling", str(state.throttled), None, "let it cool down, out of its case"))
        if state.power == "battery":
            lines.append(Finding("power", "battery", None, "plug it in"))
        return Examination(android.identity(answer, self.name, self.kind), tuple(lines))

    def set_up(self, say: Callable[[str], None]) -> None:
        """Build the runner where it is not built yet, and push it."""
        from onenet.runtimes.devices.native.build import build

        build(native.default_folder(), say)
        self.bridge.connect()
        self.identity()
        bundle = native.find()
        for runtime in bundle.runtimes:
            self.push({}, bundle, runtime, say)

    def clean(self) -> None:
        self.bridge.connect()
        answer = self.bridge.shell(f"rm -rf {FOLDER}")
        if answer.code:
            raise ToolError(f"{FOLDER} on {self.name} cannot be removed: {one_line(answer.text + answer.err)}")

    def close(self) -> None:
        self.bridge.disconnect()

    def push(self, files: Mapping[str, Path], bundle: native.Bundle | None, runtime: str, say: Callable[[str], None]) -> None:
        """Files, and what the runner needs for one runtime."""
        parts = bundle.needed(runtime) if bundle else {}
        ours = {f"native/{name}": bundle.folder / name for name in parts if bundle}
        self.bridge.push({**ours, **files}, {f"native/{name}": digest for name, digest in parts.items()}, say)
        if parts:
            self.bridge.shell(f"cd {FOLDER}/native && chmod 755 {native.LOADER} {native.RUNNER}")

    def identity(self) -> DeviceInfo:
        """The phone that is connected.

        Raises:
            RequestError: its processor is not one that the runner is built for.
        """
        answer = self.answers(android.IDENTITY)
        abi = android.abi(answer)
        if abi != ABI:
            raise RequestError(f"{self.name} runs {abi!a:.50} programs; the native runner is built for {ABI} alone")
        return android.identity(answer, self.name, self.kind)

    def state(self, start: float) -> State:
        """The phone now. ``start``: ``time.monotonic()`` when the measurement began."""
        seconds = time.monotonic() - start
        return android.state(self.answers(android.STATE), seconds)

    def answers(self, questions: Mapping[str, str]) -> dict[str, str]:
        """What its shell answers to each question, by the question's name."""
        return android.sections(self.bridge.shell(android.script(questions)).text)


def native_runner() -> Finding:
    """The doctor's line on the native runner: versions of its runtimes, or how to build it."""
    try:
        bundle = native.find()
    except RequestError as error:
        return Finding("native runner", str(error), False, "make native")
    return Finding("native runner", ", ".join(f"{name} {each['version']}" for name, each in bundle.runtimes.items()))


def runtime_of(job: Job, name: str) -> str:
    """Our name of the runtime that a job asks for.

    Raises:
        RequestError: phones have none for this kind of file, or not the one asked for.
    """
    known = RUNTIMES.get(job.artifact.suffix)
    if not known:
        raise RequestError(f"{job.artifact.name} cannot be measured on {name}; supported: {', '.join(RUNTIMES)}")
    if job.runtime is not None and job.runtime not in known:
        supported = ", ".join(known)
        raise RequestError(f"{name} measures {job.artifact.suffix} in {supported}; {job.runtime!a:.100} was asked for")
    return known[job.runtime or next(iter(known))]
