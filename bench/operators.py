"""Where the time of our own artifacts goes, operator by operator: one thread, into docs/benchmarks/operators.md.

    python -m bench.operators --network ed4-w64

onnxruntime reports the time of every node. LiteRT does not from Python, so each operator is cut out into a file of its own and
timed there, with the same kernels; what the whole graph takes beyond their sum, or less, is stated.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.networks import ROOT
from bench.rows import Task, convert, environment
from bench.toolchains import BASE, Live, find, prepare
from onenet.base.files import publish, temporary_folder

NETWORKS = ("ed4-w64", "ed4-w64-spatial", "e4-w64-spatial")
ARTIFACTS = ("tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8")
Line = dict[str, Any]
"""One operator of a profile: ``kind``, ``shapes``, ``ms``, ``operations`` (multiplications and additions)."""


def main(
    network: Annotated[list[str] | None, typer.Option(help="profile this network (repeatable)")] = None,
    out: Annotated[Path, typer.Option(help="folder for operators.md")] = ROOT / "docs" / "benchmarks",
) -> None:
    """Profile our own artifacts."""
    parts = [
        "# Where the time goes",
        "",
        "Milliseconds per inference, one thread; made by `python -m bench.operators`. Each TFLite operator is timed in a file",
        "of its own, ONNX nodes by onnxruntime's profiler. GFLOP/s (GOP/s in int8) counts multiplications and additions.",
        "The profiler's sum is above the whole: it holds the first, cold run and what the profiler itself takes.",
    ]
    with Live() as live, temporary_folder(out) as folder:
        for each in [find(name) for name in network or NETWORKS]:
            prepare(each, BASE / "networks" / each.name)
            parts += ["", f"## {each.summary}"]
            for artifact in ARTIFACTS:
                live.show(f"{each.name}, {artifact}")
                parts += section(Task("onenet", row_of(artifact), each, BASE))
        (folder / "operators.md").write_text("\n".join(parts) + "\n")
        publish(folder / "operators.md", out / "operators.md")


def row_of(artifact: str) -> Any:
    from bench.peers import onenet

    return next(row for row in onenet.ROWS if row.key == artifact)


def section(task: Task) -> list[str]:
    conversion = convert(task)
    if conversion.reason:
        return ["", f"{task.row.label} {task.row.precision}: {conversion.reason}"]
    (file,) = conversion.details["files"]
    command = [sys.executable, "-m", "bench.operators_worker", str(task.folder / file), str(task.network_folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment(BASE, 1), capture_output=True, text=True, check=True)
    return table(task, json.loads(done.stdout.splitlines()[-1]))


def table(task: Task, found: dict[str, Any]) -> list[str]:
    """Operators by kind, and the five slowest."""
    kinds: dict[str, list[Line]] = defaultdict(list)
    for line in found["operators"]:
        kinds[line["kind"]].append(line)
    total = sum(line["ms"] for line in found["operators"])
    lines = [
        "",
        f"**{task.row.label} {task.row.precision}**: {found['whole_ms']:.1f} ms whole, {total:.1f} ms in its operators",
        "",
    ]
    lines += ["| operator | number | ms | share | GFLOP/s |", "|---|---:|---:|---:|---:|"]
    for kind, members in sorted(kinds.items(), key=lambda item: -sum(line["ms"] for line in item[1])):
        ms, operations = sum(line["ms"] for line in members), sum(line["operations"] for line in members)
        lines.append(f"| {kind} | {len(members)} | {ms:.2f} | {ms / total:.1%} | {rate(operations, ms)} |")
    slowest = sorted(found["operators"], key=lambda line: -line["ms"])[:5]
    lines += [
        "",
        "Slowest: "
        + "; ".join(f"{line['shapes']} {line['ms']:.1f} ms {rate(line['operations'], line['ms'])}".strip() for line in slowest),
    ]
    return lines


def rate(operations: int, ms: float) -> str:
    return f"{operations / ms / 1e6:.0f}" if operations and ms else ""


if __name__ == "__main__":
    typer.run(main)
