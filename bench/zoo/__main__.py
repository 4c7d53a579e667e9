"""``python -m bench.zoo``: public networks on every target, ours beside the usual way; writes docs/networks.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import context as facts
from bench.measure import load_average, now
from bench.networks import ROOT
from bench.zoo.networks import NETWORKS
from bench.zoo.packages import environment, install
from bench.zoo.page import markdown
from onenet.base.files import publish, temporary_folder
from onenet.errors import OneNetError

LIMIT_S = 1800
DOCS = ROOT / "docs"


def main(
    names: Annotated[list[str] | None, typer.Argument(help="networks; all of them unless given")] = None,
    out: Annotated[Path, typer.Option(help="folder for networks.md and benchmarks/networks.json")] = DOCS,
    limit: Annotated[int, typer.Option(help="seconds for one network; what was finished by then is kept")] = LIMIT_S,
) -> None:
    """Export public networks to every target, in fp32 and int8, beside the usual way of each."""
    for name in names or []:
        if name not in NETWORKS:
            raise typer.BadParameter(f"network {name!r} is not known; supported: {', '.join(NETWORKS)}")
    stored = out / "benchmarks" / "networks.json"
    known: dict[str, Any] = json.loads(stored.read_text())["networks"] if names and stored.exists() else {}
    document: dict[str, Any] = {"schema": 2}
    context = facts.context()
    packages = install()
    with temporary_folder(out) as folder:
        for name in names or NETWORKS:
            state = {"began": now(), "load": load_average(), "context": context}
            known[name] = one(name, packages, folder, limit) | state
            document["networks"] = {each: known[each] for each in NETWORKS if each in known}
            write(document, folder, out)


def one(name: str, packages: Path, folder: Path, limit: int) -> dict[str, Any]:
    """A network's result; where its process was stopped or died, what it had written and the reason."""
    result = folder / f"{name}.json"
    command = [sys.executable, "-W", "ignore", "-m", "bench.zoo.cell", name, str(result)]
    try:
        done = subprocess.run(command, env=environment(packages), stderr=subprocess.PIPE, text=True, timeout=limit, check=False)
        lines = done.stderr.strip().splitlines()
        reason = f"{lines[-1] if lines else 'died'} (exit status {done.returncode})" if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"stopped after {limit} s"
    network = NETWORKS[name]
    nothing: dict[str, Any] = {"name": name, "origin": network.origin, "kind": network.kind, "size": network.size, "cells": {}}
    found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else nothing
    return {**found, "reason": reason}


def write(document: dict[str, Any], folder: Path, out: Path) -> None:
    """Both files, after every network: a run that is stopped keeps what it has."""
    (folder / "networks.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
    (folder / "networks.md").write_text(markdown(document))
    (out / "benchmarks").mkdir(parents=True, exist_ok=True)
    publish(folder / "networks.json", out / "benchmarks" / "networks.json")
    publish(folder / "networks.md", out / "networks.md")


if __name__ == "__main__":
    try:
        typer.run(main)
    except OneNetError as error:
        sys.exit(f"error: {error}")
