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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from onenet.base.data import parse_json
from onenet.base.files import sha256_of
from onenet.base.host import all_cores, version_of
from onenet.base.process import ask
from onenet.base.text import one_line
from onenet.errors import OneNetError, RequestError, ToolError
from onenet.runtimes import RUNTIMES
from onenet.runtimes.agent import machine, tasks
from onenet.runtimes.agent.content import make_content, threads_row
from onenet.runtimes.agent.messages import Checked, Description, Profiled, Request, Sampled, Sustained, Task
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.agent.records import Caution, Content, State, ThreadsRow, TimedOperator

LONGEST_REQUEST = 1 << 20
STATE_SECONDS = 5.0
"""Between two looks at temperature and frequency during a measurement."""
DESCRIBE_SECONDS = 60.0
"""An interpreter may take so long to load."""
PEAK_METHOD = "largest resident set of the measuring process (VmHWM), Python, numpy and the interpreter included"


# The supervisor: never opens an artifact itself, so that nothing in one can end it.


class Supervisor:
    """Measures one artifact, every part of it in a process of its own.

    Args:
        request: what to measure.
        start: ``time.monotonic()`` when it began.
    """

    def __init__(self, request: Request, start: float) -> None:
        self.request, self.plan = request, request.plan
        self.deadline = start + request.plan.deadline()

    def have_done(self, name: str, threads: int | None = None, first: bool = False) -> dict[str, object]:
        """The answer of a worker; see ``run_worker``."""
        seconds = max(1.0, self.deadline - time.monotonic())
        artifact, runtime = self.request.artifact, self.request.runtime
        return run_worker(Task(name, seconds, artifact, self.plan, runtime, threads, first))

    def row(self, threads: int) -> ThreadsRow:
        """Everything of one number of threads."""
        samples = [Sampled.from_dict(self.have_done("round", threads, i == 0)) for i in range(self.plan.rounds)]
        sustained = Sustained.from_dict(self.have_done("sustain", threads)).run if self.plan.sustained_minutes else None
        first = samples[0]
        return threads_row(
            threads,
            [each.round for each in samples],
            cores=self.plan.cores,
            prepare_ms=first.prepare_ms,
            finish_ms=first.finish_ms,
            baseline_bytes=first.baseline_bytes,
            peak_method=PEAK_METHOD if first.baseline_bytes else "",
            sustained=sustained,
        )

    def operator_times(self) -> tuple[list[TimedOperator], list[Caution]]:
        """What a profile says, or that there is none."""
        times = Profiled.from_dict(self.have_done("profile")).times
        missing = Caution("no-profile", "this interpreter does not say how long its operators take")
        return times or [], [] if times else [missing]


def measure(request: Request) -> Content:
    """The content of a document.

    Raises:
        OneNetError: as ``Device.measure``.
    """
    start, path, plan = time.monotonic(), Path(request.artifact), request.plan
    check_file(path, request.sha256)
    supervisor = Supervisor(request, start)
    busy, states = machine.busy_percent(), [machine.state(start)]
    device = machine.identity("local", "local")
    checked = Checked.from_dict(supervisor.have_done("check"))
    operators, cautions = checked.operators, list[Caution]()
    with watch_state(states, start):
        rows = [supervisor.row(threads) for threads in plan.threads or (all_cores(),)]
        if plan.profile:
            times, cautions = supervisor.operator_times()
            operators = replace(operators, times=times)
    states.append(machine.state(start))
    rows[0] = replace(rows[0], states=states)
    cautions += machine.cautions(device, states[0], states[-1], busy)
    return make_content(path, device, checked.runtime, checked.parity, plan, rows, cautions, operators=operators)


def check_file(path: Path, sha256: str | None) -> None:
    """
    Raises:
        RequestError: there is no such file, or nothing here measures its format.
        ToolError: it is another file than the one that was sent.
    """
    if not path.is_file():
        raise RequestError(f"artifact {path} is not a file here")
    if path.suffix not in {suffix for card in RUNTIMES.cards().values() for suffix in card.suffixes}:
        supported = ", ".join(measured_suffixes())
        raise RequestError(f"{path.name} cannot be measured here: its suffix is {path.suffix!r}; supported: {supported}")
    if sha256 is not None and sha256_of(path) != sha256:
        raise ToolError(f"{path.name} arrived damaged: its SHA-256 is not that of the file sent; send it again")


def measured_suffixes() -> list[str]:
    """Suffixes of artifacts that this program measures; the null runtime is for tests, and not named."""
    cards = [card for card in RUNTIMES.cards().values() if card.travels and card.measures]
    return list(dict.fromkeys(suffix for card in cards for suffix in card.suffixes))


@contextmanager
def watch_state(states: list[State], start: float) -> Iterator[None]:
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


def run_worker(task: Task) -> dict[str, object]:
    """Have a task done by a process of its own.

    Raises:
        OneNetError: the task ended with one.
        ToolError: it was killed, took too long, or gave no answer.
    """
    name = Path(task.artifact).name if task.artifact else str(task.runtime)
    command = [sys.executable, *command_line(), "work"]
    return ask(command, task.as_dict(), what=f"running {name}", seconds=task.seconds)


def command_line() -> list[str]:
    """How this program is started again."""
    own = Path(sys.argv[0])
    return [str(own)] if own.suffix == ".pyz" else ["-m", "onenet.runtimes.agent.program"]


def describe() -> Description:
    """The machine, and which interpreters load here."""
    cards = [card for card in RUNTIMES.cards().values() if card.travels and card.packages]
    versions = {card.name: run_worker(Task("try", DESCRIBE_SECONDS, runtime=card.name))["version"] for card in cards}
    free = os.statvfs(".") if hasattr(os, "statvfs") else None
    return Description(
        device=machine.identity("local", "local"),
        state=machine.state(time.monotonic()),
        busy_percent=machine.busy_percent(),
        runtimes={name: None if version is None else str(version) for name, version in versions.items()},
        numpy=version_of("numpy"),
        free_bytes=free.f_bavail * free.f_frsize if free else None,
    )


# The program.


def main(arguments: list[str]) -> int:
    """What the command line asks for; its exit code."""
    signal.signal(signal.SIGTERM, exit_on_signal)
    options = parser().parse_args(arguments)
    out = take_stdout()
    if options.do == "measure":
        plan = Plan(
            threads=options.threads,
            runs=options.runs,
            seconds=options.seconds,
            rounds=options.rounds,
            profile=options.profile,
        )
        return answer(lambda: measure(Request(str(options.artifact), plan)).as_dict(), out)
    if options.do == "describe":
        return answer(lambda: describe().as_dict(), out)
    message = parse_json(sys.stdin.buffer.readline(LONGEST_REQUEST))
    threading.Thread(target=end_with_stdin, daemon=True).start()
    if options.do == "work":
        task = Task.from_dict(message)
        end_after(task.seconds)
        return answer(lambda: tasks.work(task), out)
    return answer(lambda: respond(message), out)


def respond(message: Mapping[str, object]) -> dict[str, object]:
    """The answer to a request that came as JSON."""
    return describe().as_dict() if message["do"] == "describe" else measure(Request.from_dict(message)).as_dict()


def parser() -> argparse.ArgumentParser:
    """The command line of the program."""

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(each) for each in text.split(","))

    plan = Plan()
    top = argparse.ArgumentParser(prog="onenet-agent", description="Check and measure an artifact of onenet on this machine.")
    commands = top.add_subparsers(dest="do", required=True)
    one = commands.add_parser("measure", help="print one JSON document")
    one.add_argument("artifact", type=Path, help=", ".join(measured_suffixes()))
    one.add_argument("--threads", type=numbers, default=(), help="1,2,4: a row for each (default: all cores)")
    one.add_argument("--runs", type=int, default=plan.runs, help="minimum samples per round (%(default)s)")
    one.add_argument("--seconds", type=float, default=plan.seconds, help="minimum seconds per round (%(default)s)")
    one.add_argument("--rounds", type=int, default=plan.rounds, help="processes; each loads the artifact anew (%(default)s)")
    one.add_argument("--profile", action="store_true", help="time every operator as well")
    commands.add_parser("describe", help="print what this machine is and which interpreters it has")
    commands.add_parser("serve", help="take a request from stdin")
    commands.add_parser("work")
    return top


def answer(make: Callable[[], dict[str, object]], out: TextIO) -> int:
    """Print what ``make`` gives, or the error that ended it; its exit code."""
    code, content = 0, dict[str, object]()
    try:
        content = make()
    except OneNetError as error:
        code, content = error.exit_code, {"error": type(error).__name__, "text": one_line(error)}
    except MemoryError:
        code, content = 3, {"error": "ToolError", "text": "the device ran out of memory"}
    except Exception as error:  # nobody knows what an artifact leads an interpreter to raise
        code, content = 3, {"error": "ToolError", "text": f"{type(error).__name__}: {one_line(error)}"}
    with suppress(BrokenPipeError):  # nobody is there any more
        json.dump(content, out)
        out.write("\n")
        out.close()
    return code


def take_stdout() -> TextIO:
    """What was stdout before an interpreter could print there."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def end_with_stdin() -> None:
    """End at the end of stdin: whoever asked is gone."""
    while os.read(0, 1 << 16):  # not through sys.stdin, whose lock Python would miss at its end
        pass
    main_thread = threading.main_thread().ident
    if main_thread is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main_thread, signal.SIGTERM)
        time.sleep(10)
    os._exit(ToolError.exit_code)


def exit_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    """Handles SIGTERM."""
    del number, frame
    raise SystemExit(ToolError.exit_code)


def end_after(seconds: float) -> None:
    """The system's own alarm: an interpreter that hangs in its own code hears nothing else."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, math.ceil(seconds) + 5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
