"""What runs on a device: checks the golden pair there, measures, and prints one JSON document. Needs numpy and an interpreter.

    python3 onenet-agent.pyz measure FILE [--threads 1,2,4] [--runs N] ...    by hand
    python3 onenet-agent.pyz describe                                          what is here
    python3 onenet-agent.pyz serve                                             a request on stdin, as ``onenet bench`` sends it

Whoever asks holds stdin open. At its end (the connection is gone) the agent ends, and so does what it started; it ends by
itself when its time is over as well. Every load of an artifact is in a process of its own, which the system may kill alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

from onenet.base.data import parse_json
from onenet.base.files import sha256_of
from onenet.base.host import all_cores, peak_bytes, version_of
from onenet.base.process import ask
from onenet.base.text import one_line
from onenet.errors import NotShownError, OneNetError, RequestError, ToolError
from onenet.runtimes import RUNTIMES, parity
from onenet.runtimes.agent import content as outside
from onenet.runtimes.agent import latency, machine
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.artifact import Artifact, open_artifact
from onenet.runtimes.session import Operators
from onenet.runtimes.tensors import dequantize, to_canonical

LONGEST_REQUEST = 1 << 20
MEASURED = (".tflite", ".onnx", ".null")
STATE_SECONDS = 5.0
"""Between two looks at temperature and frequency during a measurement."""
PROFILE_RUNS = 20
PEAK_METHOD = "largest resident set of the measuring process (VmHWM), Python, numpy and the interpreter included"
Request = dict[str, Any]
Answer = dict[str, Any]


# The supervisor: never opens an artifact itself, so that nothing in one can end it.


def measure(request: Request) -> Answer:
    """The content of a document.

    Raises:
        OneNetError: as ``Device.measure``.
    """
    start, path, plan = time.monotonic(), Path(request["artifact"]), Plan.from_dict(request["plan"])
    check_file(path, request.get("sha256"))
    deadline = start + plan.deadline()
    busy, states = machine.busy_percent(), [machine.state(start)]
    device = {**machine.identity(), "name": "local", "kind": "local"}

    def work(task: str, **more: Any) -> Answer:
        return hire({**request, **more, "task": task}, max(1.0, deadline - time.monotonic()))

    found = work("check")
    cautions = list[dict[str, str]]()
    with watching(states, start):
        rows = [measure_row(threads, plan, work) for threads in plan.threads or (all_cores(),)]
        if plan.profile:
            found["operators"]["times"], cautions = profiled(work)
    states.append(machine.state(start))
    rows[0]["states"] = states
    cautions += machine.cautions(device, states[0], states[-1], busy)
    checked = {"passed": found["passed"], "where": "device", "checks": found["checks"]}
    return outside.content(path, device, found["runtime"], checked, plan, rows, cautions, operators=found["operators"])


def measure_row(threads: int, plan: Plan, work: Callable[..., Answer]) -> Answer:
    rounds = [work("round", threads=threads, first=i == 0) for i in range(plan.rounds)]
    extra = rounds[0].pop("once")
    sustained = work("sustain", threads=threads)["sustained"] if plan.sustained_minutes else None
    return outside.row(
        threads,
        rounds,
        cores=list(plan.cores),
        sustained=sustained,
        peak_method=PEAK_METHOD if extra["baseline_bytes"] else "",
        **extra,
    )


def profiled(work: Callable[..., Answer]) -> tuple[list[Answer], list[dict[str, str]]]:
    times = work("profile")["times"]
    missing = {"name": "no-profile", "detail": "this interpreter does not say how long its operators take"}
    return times or [], [] if times else [missing]


def check_file(path: Path, sha256: str | None) -> None:
    if not path.is_file():
        raise RequestError(f"artifact {path} is not a file here")
    if path.suffix not in MEASURED:
        supported = ", ".join(MEASURED[:2])
        raise RequestError(f"{path.name} cannot be measured here: its suffix is {path.suffix!r}; supported: {supported}")
    if sha256 is not None and sha256_of(path) != sha256:
        raise ToolError(f"{path.name} arrived damaged: its SHA-256 is not that of the file sent; send it again")


@contextmanager
def watching(states: list[Answer], start: float) -> Iterator[None]:
    """Look at the machine every few seconds, from this process, which is not the one that is timed."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(STATE_SECONDS):
            states.append(machine.state(start))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def hire(task: Request, seconds: float) -> Answer:
    """Have a task done by a process of its own.

    Raises:
        OneNetError: it found one.
        ToolError: it was killed, took too long, or fell silent.
    """
    name = Path(task["artifact"]).name if "artifact" in task else task["package"]
    return ask([sys.executable, *command_line(), "work"], {**task, "seconds": seconds}, what=f"running {name}", seconds=seconds)


def command_line() -> list[str]:
    """How this program is started again."""
    own = Path(sys.argv[0])
    return [str(own)] if own.suffix == ".pyz" else ["-m", "onenet.runtimes.agent.program"]


def describe() -> Answer:
    """The machine, and which interpreters load here."""
    cards = [card for card in RUNTIMES.cards().values() if card.travels and card.packages]
    found = {card.name: hire({"task": "try", "package": card.name}, 60.0) for card in cards}
    free = os.statvfs(".") if hasattr(os, "statvfs") else None
    return {
        "device": machine.identity(),
        "state": machine.state(time.monotonic()),
        "busy_percent": machine.busy_percent(),
        "runtimes": found,
        "numpy": version_of("numpy"),
        "free_bytes": free.f_bavail * free.f_frsize if free else None,
    }


# The worker: one task, then it is gone.


def work(task: Request) -> Answer:
    lower_chances()
    if task["task"] == "try":
        return {"version": try_package(task["package"])}
    return TASKS[task["task"]](task, Plan.from_dict(task["plan"]))


def lower_chances() -> None:
    """Where memory runs out, this process goes and not the one that reports it."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def try_package(package: str) -> str | None:
    """Its version where it can be imported."""
    return version_of(package) if RUNTIMES.get(package, "runtime").is_usable() else None


def check(task: Request, plan: Plan) -> Answer:
    """The golden pair, and what the file is made of."""
    del plan
    found = parity.verify_here(Path(task["artifact"]), task.get("threads"), task.get("runtime"))
    operators = Operators({})
    with suppress(NotShownError):
        operators = open_task(task).session.operators()
    return {**found.as_dict(), "operators": {**asdict(operators), "times": []}}


def open_task(task: Request, threads: int | None = None) -> Artifact:
    return open_artifact(Path(task["artifact"]), threads, runtime=task.get("runtime"))


def one_round(task: Request, plan: Plan) -> Answer:
    bind(plan)
    baseline = peak_bytes()
    load_ms, artifact = timed(lambda: open_task(task, task["threads"]))
    feeds, stored = golden_feeds(artifact)
    first_ms, results = timed(lambda: artifact.session.run(stored))

    def run() -> None:
        artifact.session.run(stored)

    warmup_runs = latency.warm_up(run, plan)
    samples = latency.sample(run, plan)
    answer = {
        "load_ms": load_ms,
        "first_ms": first_ms,
        "warmup_runs": warmup_runs,
        "samples_ms": [latency.figure(each) for each in samples],
        "peak_bytes": peak_bytes(),
    }
    if task["first"]:
        answer["once"] = {"baseline_bytes": baseline, **around(artifact, feeds, results)}
    return answer


def around(artifact: Artifact, feeds: dict[str, Any], results: dict[str, Any]) -> Answer:
    """What an app computes before and after: pixels in [0, 1] to stored inputs, stored outputs to labels."""

    def prepare() -> None:
        artifact.stored(feeds)

    def finish() -> None:
        for spec in artifact.outputs:
            value = to_canonical(dequantize(results[spec.name], spec), spec)
            if spec.role in ("logits", "probabilities"):
                value.argmax(1)

    return {
        "prepare_ms": latency.figure(median(latency.milliseconds(prepare) for _ in range(5))),
        "finish_ms": latency.figure(median(latency.milliseconds(finish) for _ in range(5))),
    }


def sustain(task: Request, plan: Plan) -> Answer:
    bind(plan)
    artifact = open_task(task, task["threads"])
    _, stored = golden_feeds(artifact)
    artifact.session.run(stored)
    return {"sustained": latency.sustain(lambda: artifact.session.run(stored), plan.sustained_minutes)}


def profile(task: Request, plan: Plan) -> Answer:
    bind(plan)
    artifact = open_task(task, plan.threads[0] if plan.threads else None)
    _, stored = golden_feeds(artifact)
    try:
        times = artifact.session.profile(stored, PROFILE_RUNS)
    except NotShownError:
        return {"times": None}
    return {"times": [asdict(each) for each in times]}


TASKS: dict[str, Callable[[Request, Plan], Answer]] = {
    "check": check,
    "round": one_round,
    "sustain": sustain,
    "profile": profile,
}


def golden_feeds(artifact: Artifact) -> tuple[dict[str, Any], dict[str, Any]]:
    """The golden input as canonical tensors, and as the artifact stores it."""
    feeds, _ = parity.read_golden(artifact)
    return feeds, artifact.stored(feeds)


def timed(make: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter_ns()
    made = make()
    return latency.figure((time.perf_counter_ns() - start) / 1e6), made


def bind(plan: Plan) -> None:
    """Onto the cores that were asked for.

    Raises:
        RequestError: the system has no such cores, or cannot bind.
    """
    if not plan.cores:
        return
    try:
        os.sched_setaffinity(0, plan.cores)
    except (AttributeError, OSError) as error:
        cores = ", ".join(map(str, plan.cores))
        raise RequestError(f"cores {cores} cannot be bound to here ({one_line(error)}); leave --cores out") from error


# The program.


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, leave)
    given = parser().parse_args(arguments)
    out = take_stdout()
    if given.do == "measure":
        plan = Plan(threads=given.threads, runs=given.runs, seconds=given.seconds, rounds=given.rounds, profile=given.profile)
        request = {"do": "measure", "artifact": str(given.artifact), "plan": plan.as_dict()}
        return answer(lambda: respond(request), out)
    if given.do == "describe":
        return answer(describe, out)
    request = parse_json(sys.stdin.buffer.readline(LONGEST_REQUEST))
    threading.Thread(target=lifeline, daemon=True).start()
    if given.do == "work":
        give_up_after(request["seconds"])
        return answer(lambda: work(request), out)
    return answer(lambda: respond(request), out)


def parser() -> argparse.ArgumentParser:
    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(each) for each in text.split(","))

    plan = Plan()
    top = argparse.ArgumentParser(prog="onenet-agent", description="Check and measure an artifact of onenet on this machine.")
    commands = top.add_subparsers(dest="do", required=True)
    one = commands.add_parser("measure", help="print one JSON document")
    one.add_argument("artifact", type=Path, help=", ".join(MEASURED[:2]))
    one.add_argument("--threads", type=numbers, default=(), help="1,2,4: a row for each (default: all cores)")
    one.add_argument("--runs", type=int, default=plan.runs, help="at least so many in a round (%(default)s)")
    one.add_argument("--seconds", type=float, default=plan.seconds, help="at least so long a round (%(default)s)")
    one.add_argument("--rounds", type=int, default=plan.rounds, help="processes, each loads the artifact anew (%(default)s)")
    one.add_argument("--profile", action="store_true", help="time every operator as well")
    commands.add_parser("describe", help="print what this machine is and which interpreters it has")
    commands.add_parser("serve", help="take a request from stdin")
    commands.add_parser("work")
    return top


def respond(request: Request) -> Answer:
    return describe() if request["do"] == "describe" else measure(request)


def answer(make: Callable[[], Answer], out: Any) -> int:
    """Print what ``make`` gives, or the error that ended it; its exit code."""
    code, found = 0, dict[str, Any]()
    try:
        found = make()
    except OneNetError as error:
        code, found = error.exit_code, {"error": type(error).__name__, "text": one_line(error)}
    except MemoryError:
        code, found = 3, {"error": "ToolError", "text": "the device ran out of memory"}
    except Exception as error:  # nobody knows what an artifact leads an interpreter to raise
        code, found = 3, {"error": "ToolError", "text": f"{type(error).__name__}: {one_line(error)}"}
    with suppress(BrokenPipeError):  # nobody is there any more
        json.dump(found, out)
        out.write("\n")
        out.close()
    return code


def take_stdout() -> Any:
    """What was stdout before an interpreter could print there."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def lifeline() -> None:
    """End at the end of stdin: whoever asked is gone."""
    while os.read(0, 1 << 16):  # not through sys.stdin, whose lock Python would miss at its end
        pass
    main_thread = threading.main_thread().ident
    if main_thread is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main_thread, signal.SIGTERM)
        time.sleep(10)
    os._exit(ToolError.exit_code)


def leave(number: int, frame: Any) -> NoReturn:
    del number, frame
    raise SystemExit(ToolError.exit_code)


def give_up_after(seconds: float) -> None:
    """The system's own alarm: an interpreter that hangs in its own code hears nothing else."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, math.ceil(seconds) + 5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
