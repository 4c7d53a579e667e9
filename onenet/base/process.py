"""Programs that are talked to: a line in, an answer out, with a limit of time and of size, and nothing left running."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO, NoReturn

from onenet.base.data import parse_json
from onenet.base.text import one_line
from onenet.errors import CheckError, OneNetError, RequestError, ToolError

LARGEST = 16 << 20
"""Bytes of an answer."""
ERRORS: dict[str, type[OneNetError]] = {each.__name__: each for each in (CheckError, RequestError, ToolError)}
RUNNING: set[subprocess.Popen[bytes]] = set()
"""Being talked to now."""
GRACE = 3.0
"""Seconds between asking a program to end and ending it."""
LIFELINE = "ONENET_LIFELINE"
"""Set in the environment of our own programs, whose stdin is held open: they end where it ends."""


class TookTooLong(ToolError):
    """A program passed its limit of time."""


@dataclass(frozen=True)
class Done:
    """A program that has ended."""

    code: int
    out: bytes
    err: str
    """What it wrote to stderr, its last 4 kB, on one line."""
    last: str = ""
    """The last line of that."""


def converse(
    command: Sequence[str],
    line: bytes = b"",
    *,
    what: str,
    seconds: float,
    hold: bool = False,
    largest: int = LARGEST,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
) -> Done:
    """Start a program, write ``line`` to it, and collect what it answers until it ends.

    Args:
        line: written to its stdin, which is closed then; with ``hold`` only when it has ended. A program that watches its
            stdin sees the end of this process, or of the connection between, as the end of file there.
        what: names it in errors: "the agent on ssh:pi".
        seconds: after which it is ended.
        environment: variables beside this process's own.
        folder: where it runs; this process's own unless given.

    Raises:
        TookTooLong: it took longer than ``seconds``.
        ToolError: there is no such program, or it wrote more than ``largest`` bytes. It does not run any more then, nor after
            Ctrl-C; nor does what it started.
    """
    pipe, variables = subprocess.PIPE, {**os.environ, **(environment or {})}
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=variables, cwd=folder, start_new_session=True
        )
    except OSError as error:
        raise ToolError(f"{what}: {command[0]} cannot be started ({error.strerror or error})") from error
    RUNNING.add(process)
    try:
        out, err = exchange(process, line, what, time.monotonic() + seconds, seconds, hold, largest)
        lines = err.decode(errors="replace").strip().splitlines()
        return Done(process.wait(), out, one_line(" ".join(lines)) if lines else "", one_line(lines[-1]) if lines else "")
    finally:
        RUNNING.discard(process)
        end(process)


def end_all() -> None:
    """End every program that is being talked to, in whatever thread; those who talk to them get a ToolError."""
    for process in list(RUNNING):
        kill(process, signal.SIGTERM)


def ask(
    command: Sequence[str],
    request: Mapping[str, object],
    *,
    what: str,
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """Send a request to an agent and take its answer, both JSON objects.

    Raises:
        OneNetError: the agent answered with one.
        ToolError: as ``converse``, or it ended without an answer.
    """
    line = json.dumps(request).encode() + b"\n"
    return parse_answer(converse(command, line, what=what, seconds=seconds, hold=True, environment=environment), what)


def parse_answer(done: Done, what: str) -> dict[str, object]:
    """What an agent that has ended said.

    Raises:
        OneNetError: as ``ask``.
    """
    try:
        answer = parse_json(done.out)
    except ValueError:
        raise ToolError(f"{what} {ending(done)}") from None
    if not isinstance(answer, dict):
        raise ToolError(f"{what} was answered with a JSON {type(answer).__name__}, not an object")
    if "error" in answer:
        kind = ERRORS.get(str(answer["error"]), ToolError)
        raise kind(one_line(str(answer.get("text", "no reason given"))))
    return answer


def ending(done: Done) -> str:
    """How a program ended that gave no answer."""
    said = f": {done.err}" if done.err else ""
    if done.code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return f"was killed, as happens where memory runs out{said}; try a smaller --input-size, or tiles (--tile)"
    if done.code < 0:
        return f"ended with {signal.Signals(-done.code).name}{said}"
    return f"gave no answer (exit code {done.code}){said}"


def exchange(
    process: subprocess.Popen[bytes], line: bytes, what: str, deadline: float, seconds: float, hold: bool, largest: int
) -> tuple[bytes, bytes]:
    """Write ``line`` to a program and collect its stdout and stderr until both end. Errors as in ``converse``."""
    assert process.stdin and process.stdout and process.stderr
    out, err, rest = bytearray(), bytearray(), memoryview(line)
    with selectors.DefaultSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        if rest or not hold:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ, out)
        selector.register(process.stderr, selectors.EVENT_READ, err)
        reading = 2
        while reading:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TookTooLong(f"{what} took over {seconds:.0f} s and was stopped; a larger --timeout waits longer")
            for key, _ in selector.select(left):
                if key.data is None:
                    rest = feed(process.stdin, rest)
                    if not rest:
                        selector.unregister(process.stdin)
                        if not hold:
                            close(process.stdin)
                    continue
                block = os.read(key.fd, 1 << 16)
                if not block:
                    selector.unregister(key.fileobj)
                    reading -= 1
                key.data.extend(block)
            if len(out) > largest:
                raise ToolError(f"{what} answered with more than {largest >> 20} MB; the agent never answers so much")
            del err[:-4096]
    return bytes(out), bytes(err)


def feed(pipe: IO[bytes], rest: memoryview) -> memoryview:
    """Write what fits; what is left. A program that does not read any more is fed nothing more."""
    try:
        return rest[os.write(pipe.fileno(), rest[: 1 << 16]) :] if rest else rest
    except BlockingIOError:
        return rest
    except OSError:
        return rest[:0]


def close(pipe: IO[bytes]) -> None:
    """Close a pipe, whether or not anybody reads it any more."""
    with contextlib.suppress(OSError):
        pipe.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End it and what it started. Closing its stdin comes first: an agent takes that for a request to end."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            close(pipe)
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            kill(process, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            break
    kill_group(process, signal.SIGKILL)  # what it started and left behind


def kill(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """A signal to it and what it started, as long as it runs."""
    if process.poll() is None:
        kill_group(process, number)


def kill_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """It is the leader of a group, which takes what it started along."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # an empty group
        os.killpg(process.pid, number)


def keep_lifeline() -> None:
    """In a program of ours: end with whoever started it, where that holds our stdin. Our own children inherit no such."""
    if os.environ.pop(LIFELINE, None):
        threading.Thread(target=end_with_stdin, daemon=True).start()


def end_with_stdin() -> None:
    """At the end of stdin end as on SIGTERM, so that temporary folders go, and after ``GRACE`` seconds however it is."""
    while os.read(0, 1 << 16):  # not through sys.stdin, whose lock Python would miss at its end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


def end_on_sigterm() -> None:
    """SIGTERM ends this process as Ctrl-C does, so that nothing half-written and no child is left behind."""
    signal.signal(signal.SIGTERM, leave)


def leave(number: int, frame: FrameType | None) -> NoReturn:
    """Handles SIGTERM."""
    del frame
    raise SystemExit(128 + number)
