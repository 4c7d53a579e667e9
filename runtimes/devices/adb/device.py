"""An Android phone through the user's own adb: a native runner is pushed there, and its outputs are judged here."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from pydantic import ValidationError

from onenet.base.data import parse_json
from onenet.base.files import sha256_of
from onenet.base.text import one_line
from onenet.errors import RequestError, ToolError
from onenet.runtimes.agent import content as outside
from onenet.runtimes.agent import machine
from onenet.runtimes.devices import Device, Examination, Finding, Job, native
from onenet.runtimes.devices.adb import android
from onenet.runtimes.devices.adb.bridge import COMMAND_SECONDS, FOLDER, Answer, Bridge
from onenet.runtimes.document import Round, Sustained
from onenet.runtimes.isolated import cause

RUNTIMES = {
    ".tflite": {"ai-edge-litert": "litert", "benchmark_model": "benchmark_model"},
    ".onnx": {"onnxruntime": "onnxruntime"},
}
"""Suffix -> name that a user knows -> our name; the first is the default."""
ABI = "arm64-v8a"
END_SECONDS = 10.0
GRACE = 15.0
"""Seconds that the phone has after its own deadline before it is given up here."""
WATCH_SECONDS = 30.0
"""Between two looks at the phone during a sustained run. Each takes some 0.1 s of one of its cores."""
BENCHMARK_MODEL = "/data/local/tmp/benchmark_model"
SIGNALS = 128
"""A shell gives a program that a signal ended this and the signal's number."""
KILLED, ALARM = 9, 14


class Phone(Device):
    """An Android phone.

    Args:
        address: its serial; "" for the only one that adb knows.
    """

    def __init__(self, address: str) -> None:
        super().__init__("adb", address)
        self.bridge = Bridge(self.name, address)

    def measure(self, job: Job) -> dict[str, Any]:
        start, runtime = time.monotonic(), runtime_of(job, self.name)
        inputs = outside.golden_inputs(job.artifact)
        bundle = None if runtime == "benchmark_model" else native.find()
        job.say("connecting")
        self.bridge.connect()
        device = self.identity()
        files = Files.of(job.artifact)
        with tempfile.TemporaryDirectory(prefix="onenet-") as scratch:
            needed = {files.model: job.artifact, **written(inputs, Path(scratch), files.inputs)}
            self.push(needed, bundle, runtime, job.say)
        runner: Runner = (
            NativeRunner(self.bridge, job, files, bundle, runtime) if bundle else BenchmarkModel(self.bridge, job, files)
        )
        try:
            rows = [self.row(job, runner, threads, start) for threads in job.plan.threads or (device["cores"] or 1,)]
        finally:
            with contextlib.suppress(ToolError):  # a phone that is gone has said so
                runner.end()
        cautions = [*machine.cautions(device, rows[0]["states"][0], rows[-1]["states"][-1]), *runner.cautions]
        return outside.content(job.artifact, device, runner.about, runner.parity, job.plan, rows, cautions)

    def row(self, job: Job, runner: Runner, threads: int, start: float) -> dict[str, Any]:
        """All rounds of one number of threads; the last goes on for the plan's ``sustained_minutes``."""
        plan, rounds, states = job.plan, list[dict[str, Any]](), [self.state(start)]
        for number in range(plan.rounds):
            minutes = plan.sustained_minutes if number == plan.rounds - 1 else 0.0
            job.say(f"measuring, {threads} thread{'s' * (threads > 1)}, round {number + 1} of {plan.rounds}")
            with self.watched(start, states, minutes):
                rounds.append(runner.run(threads, minutes, start + plan.deadline() - time.monotonic()))
            states.append(self.state(start))
        sustained = [each.pop("sustained") for each in rounds][-1]
        baselines = [each.pop("baseline_bytes") for each in rounds]
        baseline = round(median(baselines)) if all(baselines) else None
        more = {"cores": list(plan.cores), "peak_method": runner.peak_method, "baseline_bytes": baseline}
        return outside.row(threads, rounds, states, sustained=sustained, **more)

    @contextlib.contextmanager
    def watched(self, start: float, states: list[dict[str, Any]], minutes: float) -> Iterator[None]:
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
        device = {"name": self.name, "kind": self.kind, **android.identity(answer)}
        abi, state = android.abi(answer), android.state(self.answers(android.STATE), 0)
        checks, pushed = self.bridge.has("sha256sum"), self.bridge.has(f"{FOLDER}/native/{native.RUNNER}")
        found = [
            Finding("processor", abi, abi == ABI, "" if abi == ABI else f"a phone that runs {ABI} programs"),
            Finding("sha256sum", "there" if checks else "missing", checks, "" if checks else "Android 8 or newer"),
            native_runner(),
            Finding("pushed", "the native runner" if pushed else "nothing yet; the first measurement does", pushed or None),
        ]
        if state["throttled"] not in (None, "no"):
            found.append(Finding("throttling", state["throttled"], None, "let it cool down, out of its case"))
        if state["power"] == "battery":
            found.append(Finding("power", "battery", None, "plug it in"))
        return Examination(device, tuple(found))

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

    def identity(self) -> dict[str, Any]:
        """
        Raises:
            RequestError: its processor is not one that the runner is built for.
        """
        answer = self.answers(android.IDENTITY)
        abi = android.abi(answer)
        if abi != ABI:
            raise RequestError(f"{self.name} runs {abi!a:.50} programs; the native runner is built for {ABI} alone")
        return {"name": self.name, "kind": self.kind, **android.identity(answer)}

    def state(self, start: float) -> dict[str, Any]:
        seconds = time.monotonic() - start
        return android.state(self.answers(android.STATE), seconds)

    def answers(self, questions: Mapping[str, str]) -> dict[str, str]:
        return android.sections(self.bridge.shell(android.script(questions)).text)


@dataclass(frozen=True)
class Files:
    """Of one artifact, on the phone."""

    model: str
    inputs: str
    outputs: str

    @classmethod
    def of(cls, artifact: Path) -> Files:
        digest = sha256_of(artifact)
        return cls(digest + artifact.suffix, f"{digest}.in", f"{digest}.out")


class Runner(Protocol):
    """A program on the phone that measures one round. ``about``, ``parity`` and ``cautions`` are known after it has."""

    peak_method: str
    about: dict[str, str]
    parity: dict[str, Any]
    cautions: list[dict[str, str]]

    def run(self, threads: int, minutes: float, left: float) -> dict[str, Any]:
        """``document.Round``, with ``sustained`` and ``baseline_bytes``. ``left``: seconds.

        Raises:
            ToolError: it failed, or the phone went away.
        """
        ...

    def end(self) -> None:
        """Remove what it left on the phone."""
        ...


class NativeRunner:
    """Ours."""

    peak_method = "largest resident set of the native runner (VmHWM)"

    def __init__(self, bridge: Bridge, job: Job, files: Files, bundle: native.Bundle, runtime: str) -> None:
        self.bridge, self.job, self.files, self.bundle, self.runtime = bridge, job, files, bundle, runtime
        self.about: dict[str, str] = {}
        self.parity: dict[str, Any] = {}
        unseen = {"name": "no-profile", "detail": "the native runner times no operators"}
        self.cautions = [unseen] if job.plan.profile else []

    def run(self, threads: int, minutes: float, left: float) -> dict[str, Any]:
        left = max(1.0, left)
        # Where glibc is not the system's, its loader is started like any program. A phone has no /tmp.
        program = f"HOME=$PWD TMPDIR=$PWD ./{native.LOADER} --library-path . ./{native.RUNNER}"
        command = (
            f"mkdir -p {FOLDER}/{self.files.outputs} && cd {FOLDER}/native && {program} {self.settings(threads, minutes, left)}"
        )
        answer = self.bridge.shell(command, left + GRACE, doing="measuring", hold=True)
        if answer.code:
            raise ToolError(self.explain(answer))
        found = checked(answer.text, f"the runner on {self.bridge.name}")
        about, outputs = found.pop("runtime"), found.pop("outputs")
        if not self.parity:
            values = {name: self.bridge.pull(f"{self.files.outputs}/{index}") for index, name in enumerate(outputs)}
            self.parity = outside.judge(self.job.artifact, values)
            version = about["version"] or self.bundle.runtimes[self.runtime]["version"]
            kernels = "CPU, CompiledModel" if self.runtime == "litert" else "CPU"
            self.about = {"name": about["name"], "version": version, "kernels": kernels}
        return found

    def settings(self, threads: int, minutes: float, left: float) -> str:
        plan = self.job.plan
        values = {
            "runtime": self.runtime,
            "library": f"./{self.bundle.runtimes[self.runtime]['library']}",
            "model": f"../{self.files.model}",
            "inputs": f"../{self.files.inputs}",
            "outputs": f"../{self.files.outputs}",
            "threads": threads,
            "runs": plan.runs,
            "seconds": plan.seconds,
            "warmup_runs": plan.warmup_runs,
            "warmup_seconds": plan.warmup_seconds,
            "deadline": round(left),
            "sustained_minutes": minutes,
            **({"cores": ",".join(map(str, plan.cores))} if plan.cores else {}),
        }
        return shlex.join(f"{key}={value}" for key, value in values.items())

    def explain(self, answer: Answer) -> str:
        """Why the runner ended without an answer."""
        where, file, code = self.bridge.name, self.job.artifact.name, answer.code - SIGNALS
        if code == ALARM:
            seconds = self.job.plan.deadline()
            return f"{file} did not finish on {where} within {seconds:.0f} s and was stopped; a larger --timeout waits longer"
        if code == KILLED:
            return f"the runner on {where} was killed, as Android does where memory runs out; {file} may be too large for it"
        if code > 0:
            return f"{file} ended the runner on {where} with {cause(-code)}; does `onenet verify` accept it?"
        text = f"{answer.text}\n{answer.err}"
        said = text.partition("runner: ")[2].splitlines() or [text.strip()[-200:] or f"exit code {answer.code}"]
        return f"{file} cannot be measured on {where}: {one_line(said[0])}"

    def end(self) -> None:
        self.bridge.shell(f"rm -rf {FOLDER}/{self.files.outputs}", END_SECONDS)


class BenchmarkModel:
    """LiteRT's own program, where the user has put it on the phone. It shows no outputs and no single times."""

    peak_method = "benchmark_model's: sampled from time to time"

    def __init__(self, bridge: Bridge, job: Job, files: Files) -> None:
        if not bridge.has(BENCHMARK_MODEL):
            raise RequestError(f"{bridge.name} has no {BENCHMARK_MODEL}; adb push it there, and adb shell chmod 755 it")
        self.bridge, self.job, self.files = bridge, job, files
        self.about = {"name": "benchmark_model", "version": "unknown", "kernels": "as it was built"}
        unseen = {"name": "golden", "passed": None, "detail": "benchmark_model shows no outputs: nothing was compared"}
        self.parity = {"passed": True, "where": "host", "checks": [unseen]}
        self.cautions: list[dict[str, str]] = []

    def run(self, threads: int, minutes: float, left: float) -> dict[str, Any]:
        if minutes:
            raise RequestError("benchmark_model has no sustained run; leave out --runtime, or --sustained")
        left, plan = max(1.0, left), self.job.plan
        options = {
            "graph": f"{FOLDER}/{self.files.model}",
            "num_threads": threads,
            "num_runs": plan.runs,
            "min_secs": plan.seconds,
            "warmup_runs": max(1, plan.warmup_runs),
            "warmup_min_secs": plan.warmup_seconds,
            "max_secs": round(left),
            "report_peak_memory_footprint": "true",
        }
        words = shlex.join(f"--{key}={value}" for key, value in options.items())
        command = f"timeout {round(left)} {BENCHMARK_MODEL} {words} 2>&1"  # by itself it would outlive the connection
        answer = self.bridge.shell(command, left + GRACE, doing="measuring")
        if answer.code:
            said = one_line(answer.text.strip()[-200:] or f"exit code {answer.code}")
            raise ToolError(f"benchmark_model on {self.bridge.name} failed: {said}")
        found, runs = android.benchmark_round(answer.text)
        self.cautions = [{"name": "means", "detail": f"each sample is the mean of {runs} inferences of one process"}]
        return {**found, "sustained": None, "baseline_bytes": None}

    def end(self) -> None:
        """It leaves nothing."""


def native_runner() -> Finding:
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


def written(inputs: Mapping[str, Any], folder: Path, remote: str) -> dict[str, Path]:
    """The golden inputs as the runner reads them: name on the phone -> file here."""
    contents = {"names": "".join(f"{name}\n" for name in inputs).encode()}
    contents |= {str(index): value.tobytes() for index, value in enumerate(inputs.values())}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {f"{remote}/{name}": folder / name for name in contents}


def checked(text: str, what: str) -> dict[str, Any]:
    """The runner's JSON, looked at: ``document.Round``, with ``runtime``, ``outputs``, ``sustained`` and ``baseline_bytes``.

    Raises:
        ToolError: it is not what the runner writes.
    """
    line = next((each for each in text.splitlines() if each.startswith('{"runtime":')), "")
    try:
        content = parse_json(line)
        kept = {key: content[key] for key in ("load_ms", "first_ms", "warmup_runs", "samples_ms")}
        sustained = content["sustained"] and Sustained.model_validate(content["sustained"]).model_dump()
        return {
            **Round(**kept, peak_bytes=content["peak_bytes"] or None).model_dump(),
            "runtime": {key: str(content["runtime"][key])[:100] for key in ("name", "version")},
            "outputs": [str(name) for name in content["outputs"][:100]],
            "sustained": sustained,
            "baseline_bytes": int(content["baseline_bytes"]) or None,
        }
    except (AttributeError, KeyError, TypeError, ValueError, ValidationError) as error:
        found = one_line(line or text[:200] or "nothing")
        raise ToolError(f"{what} gave no answer of ours, but {found!a:.200}") from error
