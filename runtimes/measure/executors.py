"""Where the exports of a campaign run: in processes of this machine, or on the nodes of a Ray cluster.

Both do the same: start ``onenet export`` with its options, and bring back the files that it wrote.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol

from onenet.base.files import temporary_folder
from onenet.base.host import all_cores, require
from onenet.base.process import LIFELINE, converse, end_all
from onenet.base.text import one_line
from onenet.errors import CheckError, ConversionError, OneNetError, RequestError, ToolError

HOURS = 6
"""After which an export is given up."""
PROGRAM = "import sys; sys.path[:] = {path!r}; from onenet.cli.app import main; main()"
"""Not ``-m``: that would look for every module in the campaign's folder first, where a checkout of onenet may lie."""
CORES_EACH = 2
"""Cores that one export takes: converters use little more."""


@dataclass(frozen=True)
class Export:
    """One run of ``onenet export``; ``folder`` is what relative paths among its arguments start from."""

    key: str
    arguments: tuple[str, ...]
    folder: str


Files = dict[str, bytes]
"""Path below the output folder -> content."""


@dataclass(frozen=True)
class Exported:
    """What one run of ``onenet export`` wrote, and what of it failed."""

    files: Files
    failed: tuple[tuple[str, OneNetError], ...] = ()
    """Target and precision, and why there is no file of them."""


class Executor(Protocol):
    """The contract of what runs a campaign's exports."""

    def run(self, exports: Sequence[Export]) -> Iterator[tuple[Export, Exported | OneNetError]]:
        """Every export with what it gave, in the order in which they end."""
        ...


def export(task: Export) -> Exported:
    """Every file that can be made.

    Raises:
        OneNetError: there is none; as the command would have ended.
    """
    with temporary_folder() as folder:
        program = PROGRAM.format(path=sys.path)
        command = [sys.executable, "-c", program, "export", *task.arguments, "--out", str(folder), "--json"]
        own = {LIFELINE: "1"}
        done = converse(command, what="the export", seconds=3600 * HOURS, hold=True, environment=own, folder=task.folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        failed = failed_pairs(done.out) if done.code and files else ()
        if done.code and not failed:
            raise error_of(done.code, done.last.removeprefix("error: ") or "silent")
        return Exported({path.relative_to(folder).as_posix(): path.read_bytes() for path in files}, failed)


def failed_pairs(printed: bytes) -> tuple[tuple[str, OneNetError], ...]:
    """What ``onenet export --json`` says of the artifacts that it could not make; nothing where it says no such thing."""
    kinds = {each.__name__: each for each in (CheckError, RequestError, ConversionError, ToolError)}
    try:
        entries = [each for each in json.loads(printed) if "failed" in each]
        return tuple(
            (f"{each['target']} {each['precision']}", kinds.get(each["failed"]["error"], ToolError)(each["failed"]["reason"]))
            for each in entries
        )
    except (KeyError, TypeError, ValueError):
        return ()


def error_of(code: int, text: str) -> OneNetError:
    """The error for the exit code and last line of ``onenet export``."""
    kind = {each.exit_code: each for each in (CheckError, RequestError)}.get(code, ToolError)
    return kind(text if kind is not ToolError or code == ToolError.exit_code else f"the export ended with code {code}: {text}")


def outcome(task: Export) -> Exported | OneNetError:
    """``export``, with its error as a value: what travels between machines."""
    try:
        return export(task)
    except OneNetError as error:
        return error
    except OSError as error:
        return ToolError(f"the export failed: {one_line(error)}")


class Processes:
    """On this machine, as many at once as it has cores for."""

    def run(self, exports: Sequence[Export]) -> Iterator[tuple[Export, Exported | OneNetError]]:
        """Every export with what it gave, in the order in which they end."""
        with ThreadPoolExecutor(max(1, all_cores() // CORES_EACH)) as pool:
            tasks = {pool.submit(outcome, each): each for each in exports}
            try:
                for done in as_completed(tasks):
                    yield tasks[done], done.result()
            except BaseException:  # Ctrl-C: none is begun any more, and those that run end
                pool.shutdown(wait=False, cancel_futures=True)
                end_all()
                raise


class Ray:
    """On the nodes of a Ray cluster, which have onenet installed and see the same files.

    Args:
        address: of the cluster; empty: the one that the environment names, or a new one on this machine.

    Raises:
        ToolError: ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str) -> None:
        if address:
            check_address(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.ray = require("ray", "cluster")
        try:
            self.ray.init(address=address or None, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ToolError(f"no Ray cluster at {address or 'this machine'}: {one_line(error)}") from error

    def run(self, exports: Sequence[Export]) -> Iterator[tuple[Export, Exported | OneNetError]]:
        """Every export with what it gave, in the order in which they end."""
        remote = self.ray.remote(num_cpus=1, max_retries=2)(outcome)
        tasks = {remote.remote(each): each for each in exports}
        while tasks:
            (done,), _ = self.ray.wait(list(tasks), num_returns=1)
            task = tasks.pop(done)
            try:
                yield task, self.ray.get(done)
            except self.ray.exceptions.RayError as error:
                yield task, ToolError(f"the export was lost by the cluster: {one_line(error)}")


def check_address(address: str) -> None:
    """Ask at the door: ray itself waits minutes for a cluster that is not there."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise RequestError(f"executor ray://{address} is not HOST:PORT; give that of the head node, such as 192.168.0.2:6379")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise ToolError(f"no Ray cluster at {address}: {one_line(error)}; start one with `ray start --head`") from error


def open_executor(name: str) -> Executor:
    """``local``, or ``ray[://HOST:PORT]``.

    Raises:
        RequestError: neither.
        ToolError: as ``Ray``.
    """
    if name == "local":
        return Processes()
    if name == "ray":
        return Ray("")
    if name.startswith("ray://") and name.isprintable():
        return Ray(name.removeprefix("ray://"))
    raise RequestError(f"executor {name!a:.100} is not known; supported: local, ray, ray://HOST:PORT")
