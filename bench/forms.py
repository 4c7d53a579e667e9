"""Which form of the lowered graph runs fastest, per target and precision: what decides the rules in ``onenet/lowering``.

python -m bench.forms                                    # writes docs/benchmarks/forms.md and forms.json
python -m bench.forms --network ed4-w64-spatial --artifact tflite-int8
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from bench import context as facts
from bench.measure import load_average, measure, now
from bench.networks import ROOT, Network
from bench.peers import forms
from bench.report import context_text
from bench.rows import Task, convert
from bench.toolchains import BASE, Live, find, prepare
from onenet.base.files import publish, temporary_folder

NETWORKS = ("ed4-w64-spatial", "e4-w64")
SPATIAL_ONLY = ("one-channel", "blocks-8", "blocks-32")
E4_ONLY = ("chain", "direct", "winograd-2", "winograd-all")
"""Forms of what the 2D decoder alone has."""


def main(
    network: Annotated[list[str] | None, typer.Option(help="measure this network (repeatable)")] = None,
    artifact: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(forms.ARTIFACTS)} (repeatable)")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="how often every form is asked")] = 7,
    seconds: Annotated[float, typer.Option(min=0.0, help="per form and round, at least one inference")] = 0.4,
    out: Annotated[Path, typer.Option(help="folder for forms.json and forms.md")] = ROOT / "docs" / "benchmarks",
) -> None:
    """Time the forms of our own artifacts against each other: one thread, alternating."""
    document: dict[str, Any] = {"schema": 1, "began": now(), "rounds": rounds, "seconds": seconds, "context": facts.context()}
    document |= {"load": {"before": load_average(), "during": []}, "groups": []}
    ticks = facts.stolen_ticks()
    with Live() as live, temporary_folder(out) as folder:
        for each in [find(name) for name in network or NETWORKS]:
            prepare(each, BASE / "networks" / each.name)
            for name in artifact or forms.ARTIFACTS:
                document["groups"].append(group(each, name, rounds, seconds, folder, live))
                document["load"]["during"].append(load_average())
        stolen = None if ticks is None else (facts.stolen_ticks() or 0) - ticks
        document["load"] |= {"after": load_average(), "stolen_ticks": stolen}
        document["ended"] = now()
        (folder / "forms.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
        (folder / "forms.md").write_text(markdown(document))
        for file in ("forms.json", "forms.md"):
            publish(folder / file, out / file)


def group(network: Network, artifact: str, rounds: int, seconds: float, folder: Path, live: Live) -> dict[str, Any]:
    """All forms of one artifact of one network."""
    conversions = []
    for row in forms.ROWS:
        absent = () if network.options.get("kernel") is not None else SPATIAL_ONLY
        absent += E4_ONLY if "ed4" in network.name else ()
        if row.key.startswith(artifact) and not row.key.endswith(absent):
            live.show(f"{network.name}: {row.key}, convert")
            task = Task("forms", row, network, BASE)
            conversions.append((task, convert(task)))
    rows = measure(conversions, 1, rounds, seconds, folder, lambda text: live.show(f"{network.name}: {text}"))
    live.keep(f"{network.name}, {artifact}: measured")
    return {"network": network.name, "artifact": artifact, "rows": rows}


def markdown(document: dict[str, Any]) -> str:
    lines = [
        "# Forms of the lowered graph",
        "",
        "Milliseconds per inference, one thread, median over alternating rounds; in brackets the ratio to the form that is"
        " exported. Made by `python -m bench.forms`; every sample is in `forms.json`.",
        "",
        context_text(document),
    ]
    for network in dict.fromkeys(each["network"] for each in document["groups"]):
        groups = [each for each in document["groups"] if each["network"] == network]
        lines += ["", f"## {network}", "", "| form | " + " | ".join(g["artifact"].replace("-", " ") for g in groups) + " |"]
        lines.append("|---|" + "---:|" * len(groups))
        for form, (label, _) in forms.FORMS.items():
            cells = [cell(each, form) for each in groups]
            if any(cells):
                lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(group: dict[str, Any], form: str) -> str:
    times = {row["row"].split("-", 2)[2]: milliseconds(row) for row in group["rows"]}
    if form not in times:
        return ""
    found, base = times[form], times[forms.CHOSEN]
    return "fails" if found is None else f"{found:.0f} ({found / base:.2f})" if base else f"{found:.0f}"


def milliseconds(row: dict[str, Any]) -> float | None:
    samples = [value for part in row["seconds"] for value in part]
    return 1000 * median(samples) if samples else None


if __name__ == "__main__":
    typer.run(main)
