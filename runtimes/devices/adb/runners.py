"""Programs that measure on a phone: our native runner, and LiteRT's ``benchmark_model``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from onenet.base.arrays import Array
from onenet.base.data import parse_json
from onenet.base.files import sha256_of
from onenet.base.text import one_line
from onenet.errors import RequestError, ToolError
from onenet.runtimes.agent.content import judge_outputs
from onenet.runtimes.agent.records import (
    Caution,
    CheckInfo,
    Count,
    Interpreter,
    Limit,
    Milliseconds,
    Parity,
    Record,
    Round,
    SustainedRun,
    Text,
)
from onenet.runtimes.devices import Job, native
from onenet.runtimes.devices.adb import android
from onenet.runtimes.devices.adb.bridge import FOLDER, Answer, Bridge
from onenet.runtimes.devices.answers import read_as
from onenet.runtimes.isolated import cause

END_SECONDS = 10.0
GRACE = 15.0
"""Seconds that the phone has after its own deadline before it is given up here."""
BENCHMARK_MODEL = "/data/local/tmp/benchmark_model"
SIGNALS = 128
"""A shell gives a program that a signal ended this and the signal's number."""
KILLED, ALARM = 9, 14


@dataclass(frozen=True)
class Files:
    """Names of one artifact's files on the phone."""

    model: str
    inputs: str
    outputs: str

    @classmethod
    def of(cls, artifact: Path) -> Files:
        """They follow from the artifact's content."""
        digest = sha256_of(artifact)
        return cls(digest + artifact.suffix, f"{digest}.in", f"{digest}.out")


@dataclass(frozen=True)
class RunnerRound:
    """What one process on the phone measured."""

    round: Round
    sustained: SustainedRun | None = None
    baseline_bytes: int | None = None
    """Before the artifact was opened; None: not known."""


class Runner:
    """A program on the phone that measures one round."""

    peak_method: str
    """How it finds the largest memory."""
    cautions: list[Caution]
    """Known after the first round."""

    def run(self, threads: int, minutes: float, left: float) -> RunnerRound:
        """Measure a round.

        Args:
            minutes: of a sustained run at its end; 0 for none.
            left: seconds that it may take.

        Raises:
            RequestError: it cannot do that.
            ToolError: it failed, or the phone went away.
        """
        raise NotImplementedError

    def verdict(self) -> tuple[Interpreter, Parity]:
        """What computed, and whether it did so rightly; known after the first round."""
        raise NotImplementedError

    def end(self) -> None:
        """Remove what it left on the phone.

        Raises:
            ToolError: the phone went away.
        """


class NativeRunner(Runner):
    """Our own program (``onenet.runtimes.devices.native``)."""

    peak_method = "largest resident set of the native runner (VmHWM)"

    def __init__(self, bridge: Bridge, job: Job, files: Files, bundle: native.Bundle, runtime: str) -> None:
        self.bridge, self.job, self.files, self.bundle, self.runtime = bridge, job, files, bundle, runtime
        self.judged: tuple[Interpreter, Parity] | None = None
        self.cautions = [Caution("no-profile", "the native runner times no operators")] if job.plan.profile else []

    def run(self, threads: int, minutes: float, left: float) -> RunnerRound:
        left = max(1.0, left)
        # Where glibc is not the system's, its loader is started like any program. A phone has no /tmp.
        program = f"HOME=$PWD TMPDIR=$PWD ./{native.LOADER} --library-path . ./{native.RUNNER}"
        command = (
            f"mkdir -p {FOLDER}/{self.files.outputs} && cd {FOLDER}/native && {program} {self.settings(threads, minutes, left)}"
        )
        answer = self.bridge.shell(command, left + GRACE, doing="measuring", hold=True)
        if answer.code:
            raise ToolError(self.explain(answer))
        report = read_report(answer.text, f"the runner on {self.bridge.name}")
        if self.judged is None:
            self.judged = self.judge(report)
        measured = Round(report.load_ms, report.first_ms, report.warmup_runs, report.samples_ms, report.peak_bytes or None)
        return RunnerRound(measured, report.sustained, report.baseline_bytes or None)

    def judge(self, report: RunnerReport) -> tuple[Interpreter, Parity]:
        """Fetch the outputs and compare them with the golden ones."""
        values = {name: self.bridge.pull(f"{self.files.outputs}/{i}") for i, name in enumerate(report.outputs)}
        parity = judge_outputs(self.job.artifact, values)
        version = report.runtime.version or self.bundle.runtimes[self.runtime]["version"]
        kernels = "CPU, CompiledModel" if self.runtime == "litert" else "CPU"
        return Interpreter(report.runtime.name, version, kernels), parity

    def verdict(self) -> tuple[Interpreter, Parity]:
        assert self.judged is not None, "no round was run"
        return self.judged

    def settings(self, threads: int, minutes: float, left: float) -> str:
        """The program's arguments, quoted for a shell."""
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


class BenchmarkModel(Runner):
    """LiteRT's own program, where the user has put it on the phone. It shows no outputs and no single times."""

    peak_method = "benchmark_model's: sampled from time to time"

    def __init__(self, bridge: Bridge, job: Job, files: Files) -> None:
        if not bridge.has(BENCHMARK_MODEL):
            raise RequestError(f"{bridge.name} has no {BENCHMARK_MODEL}; adb push it there, and adb shell chmod 755 it")
        self.bridge, self.job, self.files = bridge, job, files
        self.cautions = []

    def run(self, threads: int, minutes: float, left: float) -> RunnerRound:
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
        measured, runs = android.benchmark_round(answer.text)
        self.cautions = [Caution("means", f"each sample is the mean of {runs} inferences of one process")]
        return RunnerRound(measured)

    def verdict(self) -> tuple[Interpreter, Parity]:
        unseen = CheckInfo("golden", None, "benchmark_model shows no outputs: nothing was compared")
        return Interpreter("benchmark_model", "unknown", "as it was built"), Parity(True, "host", [unseen])


def write_inputs(inputs: Mapping[str, Array], folder: Path, remote: str) -> dict[str, Path]:
    """Write the golden inputs as the runner reads them.

    Returns:
        Name on the phone, below ``remote`` -> file here.
    """
    contents = {"names": "".join(f"{name}\n" for name in inputs).encode()}
    contents |= {str(index): value.tobytes() for index, value in enumerate(inputs.values())}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {f"{remote}/{name}": folder / name for name in contents}


@dataclass(frozen=True)
class RunnerRuntime(Record):
    """What the runner says it computed with; it knows no version of some."""

    name: Text
    version: Text


@dataclass(frozen=True)
class RunnerReport(Record):
    """What ``runner.cpp`` writes: fields of a round, and more. 0 bytes: not known."""

    runtime: RunnerRuntime
    load_ms: Milliseconds
    first_ms: Milliseconds
    warmup_runs: Count
    samples_ms: Annotated[list[Milliseconds], Limit(shortest=1, longest=10_000)]
    peak_bytes: Count
    baseline_bytes: Count
    outputs: Annotated[list[Text], Limit(longest=100)]
    """Names, in the model's own order."""
    sustained: SustainedRun | None


def read_report(text: str, what: str) -> RunnerReport:
    """The runner's JSON, among what else was printed.

    Args:
        what: names the runner in errors.

    Raises:
        ToolError: it is not what the runner writes.
    """
    line = next((each for each in text.splitlines() if each.startswith('{"runtime":')), "")
    try:
        return read_as(RunnerReport, parse_json(line))
    except ValueError as error:
        printed = one_line(line or text[:200] or "nothing")
        raise ToolError(f"{what} gave no answer of ours, but {printed!a:.200}") from error
