"""Our artifacts beside what other toolchains make of the same network and weights.

* ``python -m bench.toolchains``: everything, into docs/benchmarks (``make toolchains``);
* ``python -m bench.toolchains --network onenet-ed4 --row OpenVINO --row onenet --out build/try``: a part;
* ``python -m bench.toolchains --network onenet-e4 --update``: one network anew, the others stay in the tables;
* ``python -m bench.toolchains --older``: LiteRT and ONNX Runtime without AVX-512 and VNNI, into docs/benchmarks/older;
* ``python -m bench.toolchains --convert-only``: make the environments and convert, time nothing.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import context as facts
from bench import older, report
from bench.measure import load_average, measure, now
from bench.networks import NETWORKS, ROOT, SMALL, Network, network_id
from bench.rows import Conversion, Task, convert, environment, tasks
from onenet.base.files import publish, temporary_folder
from onenet.base.host import all_cores
from onenet.errors import OneNetError, RequestError, ToolError

SCHEMA = 1
BASE = ROOT / "build" / "bench"


def main(
    network: Annotated[list[str] | None, typer.Option(help="measure this network (repeatable); default: all six")] = None,
    row: Annotated[list[str] | None, typer.Option(help="only rows whose name holds this (repeatable)")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="thread counts (repeatable); default: 1 and all cores")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="how often every row is asked")] = 3,
    seconds: Annotated[float, typer.Option(min=0.0, help="per row and round, at least one inference")] = 0.4,
    out: Annotated[
        Path | None, typer.Option(help="folder for toolchains.json, README.md and the charts; default: docs/benchmarks")
    ] = None,
    as_older: Annotated[bool, typer.Option("--older", help="hide AVX-512, VNNI and AMX from LiteRT and ONNX Runtime")] = False,
    update: Annotated[
        bool,
        typer.Option("--update", help="keep the other networks in OUT/toolchains.json; same machine and versions only"),
    ] = False,
    convert_only: Annotated[bool, typer.Option("--convert-only", help="fill the caches, time nothing")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="try again what failed to install or to convert")] = False,
) -> None:
    """Compare our artifacts with other toolchains' on this machine."""
    out = out or ROOT / "docs" / "benchmarks" / ("older" if as_older else "")
    row = row or (older.ROWS if as_older else [])
    chosen = [find(name) for name in network or NETWORKS]
    counts = sorted(set(threads or [1, all_cores()]))
    earlier = earlier_in(out) if update else None
    load = load_average()  # our own conversions are not what a reader must know of
    with Live() as live:
        converted = {each.name: convert_all(each, row, retry, live) for each in chosen}
        if convert_only:
            return
        document: dict[str, Any] = {"schema": SCHEMA, "rounds": rounds, "seconds": seconds, "threads": counts, "began": now()}
        if as_older:
            os.environ |= older.environment(BASE)  # every worker's
        document["context"] = facts.context(older=as_older)
        document["load"] = {"before": load, "during": []}
        if earlier is not None:
            check_alike(earlier, document)
        if document["load"]["before"][0] > report.BUSY * all_cores():
            live.keep(f"warning: load average {document['load']['before'][0]}; stop what else runs, the figures will be off")
        ticks = facts.stolen_ticks()
        with temporary_folder(out) as folder:
            document["networks"] = []
            for each in chosen:
                document["networks"].append(measure_network(each, converted[each.name], document, folder, live))
            document["load"]["after"] = load_average()
            document["load"]["stolen_ticks"] = None if ticks is None else (facts.stolen_ticks() or 0) - ticks
            document["ended"] = now()
            add_runs(document)
            finish(document if earlier is None else merged(earlier, document), folder, out)


class Live:
    """One line that says what is done at the moment, and one line kept per finished part."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.progress.add_task("", total=None)

    def __enter__(self) -> Live:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.update(self.task, visible=False)
        self.progress.stop()

    def show(self, text: str) -> None:
        self.progress.update(self.task, description=text)

    def show_in(self, place: str, text: str) -> None:
        self.show(f"{place}: {text}")

    def keep(self, text: str) -> None:
        self.progress.console.print(text, highlight=False, markup=False, soft_wrap=True)


def find(name: str) -> Network:
    known = {**NETWORKS, **SMALL}
    if name not in known:
        raise typer.BadParameter(f"network {name!r} is not known; supported: {', '.join(known)}")
    return known[name]


def prepare(network: Network, folder: Path) -> None:
    """Make the network's folder unless it is there and current; in another process, so that this one stays without torch.

    Raises:
        ToolError: it cannot be built.
    """
    file = folder / "network.json"
    if file.exists() and json.loads(file.read_text())["id"] == network_id(network):
        return
    with temporary_folder(folder.parent) as scratch:
        command = [sys.executable, "-m", "bench.networks", network.name, str(scratch / network.name)]
        done = subprocess.run(command, cwd=ROOT, env=environment(BASE), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(f"network {network.name} cannot be built: {done.stderr.strip().splitlines()[-1]}")
        publish(scratch / network.name, folder)


def convert_all(network: Network, words: list[str], retry: bool, live: Live) -> list[tuple[Task, Conversion]]:
    live.show(f"{network.name}: prepare")
    prepare(network, BASE / "networks" / network.name)
    converted = []
    for task in tasks(network, BASE, words):
        live.show(f"{network.name}: {task.name}, convert")
        found = convert(task, retry=retry)
        converted.append((task, found))
        if found.reason:
            live.keep(f"{network.name}: {task.name}: {found.reason}")
    if not converted:
        raise RequestError(f"no row holds {' or '.join(words)}; see the files in bench/peers")
    live.keep(f"{network.name}: {sum(not c.reason for _, c in converted)} of {len(converted)} rows converted")
    return converted


def measure_network(
    network: Network, converted: list[tuple[Task, Conversion]], document: dict[str, Any], folder: Path, live: Live
) -> dict[str, Any]:
    found = json.loads((BASE / "networks" / network.name / "network.json").read_text())
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    for threads in document["threads"]:
        show = functools.partial(live.show_in, f"{network.name}, {report.count(threads)}")
        rows += measure(converted, threads, document["rounds"], document["seconds"], scratch, show)
        document["load"]["during"].append(load_average())
    live.keep(f"{network.name}: measured")
    return {**{key: found[key] for key in ("name", "summary", "config", "size", "parameters", "operations")}, "rows": rows}


def add_runs(document: dict[str, Any]) -> None:
    """Note with each network when it was measured, and of what."""
    run = {"began": document["began"], "commit": document["context"]["commit"], "load": document["load"]["before"][0]}
    for each in document["networks"]:
        each.setdefault("run", run)


def earlier_in(out: Path) -> dict[str, Any]:
    """
    Raises:
        RequestError: nothing was measured into this folder yet.
    """
    try:
        return dict(json.loads((out / "toolchains.json").read_text()))
    except OSError as error:
        raise RequestError(f"--update needs {out / 'toolchains.json'}: {error.strerror}; measure without it first") from None


def check_alike(earlier: dict[str, Any], document: dict[str, Any]) -> None:
    """
    Raises:
        RequestError: what was measured earlier was on another machine, or with other versions or thread counts.
    """
    for key in ("cpu", "flags", "cores", "python", "versions", "own_versions"):
        then, here = earlier["context"][key], document["context"][key]
        if then != here:
            raise RequestError(f"--update keeps what was measured with the same {key}, found {then} then and {here} now")
    if earlier["threads"] != document["threads"]:
        raise RequestError(f"--update needs the same threads as before: {earlier['threads']}")


def merged(earlier: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The networks just measured, and those of an earlier run that were not."""
    add_runs(earlier)
    networks = {each["name"]: each for each in (*earlier["networks"], *document["networks"])}
    order = [name for name in (*NETWORKS, *networks) if name in networks]
    return {**document, "networks": [networks[name] for name in dict.fromkeys(order)]}


def finish(document: dict[str, Any], folder: Path, out: Path) -> None:
    """Write everything beside its place, then rename."""
    (folder / "toolchains.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
    report.write(document, folder)
    for path in sorted(folder.iterdir()):
        if path.is_file():
            publish(path, out / path.name)


if __name__ == "__main__":
    try:
        typer.run(main)
    except OneNetError as error:
        sys.exit(f"error: {error}")
