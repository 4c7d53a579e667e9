"""What runs inside a peer's environment: ``convert`` makes a row's files, ``serve`` loads them and times them on request.

    python -m bench.worker convert PEER KEY NETWORK OUT
    python -m bench.worker serve PEER KEY NETWORK OUT THREADS OUTPUT.npy

Both write lines of JSON on stdout and nothing else; what a toolchain prints goes to stderr. ``serve`` answers
``run SECONDS`` with ``{"seconds": [...]}`` and ends with its standard input.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from bench.networks import load_data
from bench.peers import Loaded, Row, peer

WARM_UP_S = 0.5


def main(arguments: list[str]) -> int:
    answers = own_stdout()
    verb, name, key, network, out, *rest = arguments
    module = peer(name)
    row = next(row for row in module.ROWS if row.key == key)
    try:
        if verb == "convert":
            answer(answers, done=module.convert(Path(network), row, Path(out)) or {})
        else:
            serve(answers, module, row, Path(network), Path(out), int(rest[0]), Path(rest[1]))
    except Exception as error:  # a toolchain may raise anything; its text is the row's reason
        traceback.print_exc()
        answer(answers, reason=reason_of(error))
        return 1
    return 0


def own_stdout() -> IO[str]:
    """Our standard output; the descriptor that libraries print to becomes standard error."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def answer(answers: IO[str], **content: Any) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def reason_of(error: BaseException) -> str:
    """Type and first line of an exception; of a path in it the last part, because a table is read on other machines."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    line = re.sub(r"(?<![\w.])/\S*/", "", line)
    return f"{type(error).__name__}: {line}"[:300] if line else type(error).__name__


def serve(answers: IO[str], module: Any, row: Row, network: Path, out: Path, threads: int, output: Path) -> None:
    import numpy as np

    image = load_data(network)["image"]
    began = time.perf_counter()
    loaded: Loaded = module.load(out, row, threads)
    feed, run = loaded.feed(image), loaded.run
    ready = time.perf_counter()
    result = run(feed)
    first = time.perf_counter()
    peak = peak_bytes()
    if not loaded.operations:  # the machine's own rate has no output to compare
        np.save(output, np.asarray(loaded.finish(result), np.float32))
    measure(run, feed, WARM_UP_S)
    answer(answers, load_s=ready - began, first_s=first - ready, peak_bytes=peak, operations=loaded.operations)
    for line in sys.stdin:
        verb, _, argument = line.partition(" ")
        if verb != "run":
            raise ValueError(f"unknown request {line!r}")
        answer(answers, seconds=measure(run, feed, float(argument)))


def measure(run: Callable[[Any], Any], feed: Any, seconds: float) -> list[float]:
    """Seconds of each inference, of at least one and until ``seconds`` have passed."""
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        began = time.perf_counter()
        run(feed)
        samples.append(round(time.perf_counter() - began, 6))
    return samples


def peak_bytes() -> int:
    """Largest resident size so far of this process: interpreter, toolchain and network.

    VmHWM where there is one: ru_maxrss survives exec, and would be the harness's where that was larger.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return 1024 * (found or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
