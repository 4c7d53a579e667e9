"""Does ``verify`` find a file with one wrong layer? Files of 20 networks, on all targets, with one layer's weights zeroed,
divided by 1.1 or brought into another order.

The digest of its content, which the manifest inside holds, finds every change of a finished file. So each mutant is also sealed
anew, as if a converter had made it wrong: then only its values speak, and those are what the tables are about.

python -m bench.mutations                                # writes docs/benchmarks/mutations.md and mutations.json
python -m bench.mutations --network unet --target onnx --precision fp32      # the other rows stay

A mutant counts where an output moves by more than the margin on pictures that no check looks at: by more than int8 itself
costs, and in fp32 and w8 by more than their tolerance. Networks are small, with seeded random weights and the statistics of
shipped images; the two of our own that are trained are the shipped ones. Some layers of each are changed, evenly spaced.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bench import context as facts
from bench.networks import ROOT
from onenet.base.files import publish, temporary_folder
from onenet.base.text import one_line
from onenet.errors import OneNetError

DOCS = ROOT / "docs" / "benchmarks"
WRITTEN = (
    "bisenetv2",
    "enet",
    "espcn",
    "fast_scnn",
    "ffnet",
    "nnunet",
    "pidnet",
    "pix2pix",
    "srvgg",
    "u2netp",
    "unet",
    "yolo",
)
"""Of ``tests/networks``."""
TOYS = ("depth", "two outputs", "classes", "labels")
"""Of ``tests/export/mutants.py``."""
OWN = {"onenet-ed4": 0, "onenet-e4": 0, "onenet-ed5": 4, "onenet-e5": 4}
"""Of the registry, with their width; 0: the shipped one."""
NETWORKS = (*WRITTEN, *TOYS, *OWN)
TARGETS = ("tflite", "onnx", "coreml")
PRECISIONS = ("int8", "w8", "fp32")
CALIBRATION, PICTURES, SIDE = 6, 4, 64
LARGER = ("u2netp", "yolo")
"""Of twice that side: the deepest level of one would be a single pixel, the grid of the other is of one size."""
LEAST = 0.95
"""Share of the faults that must be found."""


@dataclass(frozen=True)
class Row:
    """The mutants of one file."""

    network: str
    target: str
    precision: str
    made: int
    moved: int
    unsealed: int
    """Those that are not opened, because their content was changed."""
    missed: tuple[str, ...]
    seconds: float
    refused: str = ""
    """Why there is no file to change."""


def main(
    network: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(NETWORKS)} (repeatable)")] = None,
    target: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(TARGETS)} (repeatable)")] = None,
    precision: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(PRECISIONS)} (repeatable)")] = None,
    layers: Annotated[int, typer.Option(min=1, help="layers of each network that are changed")] = 5,
    out: Annotated[Path, typer.Option(help="folder for mutations.md and mutations.json")] = DOCS,
) -> None:
    """Plant faults in files, and count what verify finds."""
    for name in network or NETWORKS:
        rows = []
        for row in rows_of(name, target or TARGETS, precision or PRECISIONS[:1], layers):
            found = row.refused or f"{row.moved} of {row.made} moved, {len(row.missed)} missed"
            typer.echo(f"{row.network}, {row.target} {row.precision}: {found}, {row.seconds:.0f} s")
            rows.append(vars(row))
        keep(rows, layers, out)


def keep(rows: list[dict[str, Any]], layers: int, out: Path) -> None:
    """Write a network's rows beside those of the others."""
    file = out / "mutations.json"
    earlier = json.loads(file.read_text())["rows"] if file.exists() else []
    document = {"schema": 1, "context": facts.context(), "layers": layers, "rows": merged(earlier, rows)}
    with temporary_folder(out) as folder:
        (folder / "mutations.json").write_text(json.dumps(document, indent=1) + "\n")
        (folder / "mutations.md").write_text(markdown(document))
        for name in ("mutations.json", "mutations.md"):
            publish(folder / name, out / name)


def merged(earlier: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of earlier runs that were not measured again stay; in the order of the networks."""

    def key(row: dict[str, Any]) -> tuple[int, int, int]:
        return NETWORKS.index(row["network"]), PRECISIONS.index(row["precision"]), TARGETS.index(row["target"])

    return sorted({key(row): row for row in (*earlier, *rows)}.values(), key=key)


def rows_of(name: str, targets: Sequence[str], precisions: Sequence[str], layers: int) -> Iterator[Row]:
    """A network's rows; it is calibrated once."""
    import onenet
    from onenet.base.quiet import quiet
    from tests.export.mutants import Tally, tally

    pictures = images(side_of(name))
    with quiet():
        model = onenet.lower(build(name, pictures))
        sources = {"int8": onenet.calibrate(model, pictures[:CALIBRATION])} if "int8" in precisions else {}
    for target, precision in [(each, asked) for asked in precisions for each in targets]:
        start = time.process_time()
        found, refused = Tally(), ""
        with tempfile.TemporaryDirectory() as scratch:
            try:
                found = tally(sources.get(precision, model), target, precision, pictures[CALIBRATION:], Path(scratch), layers)
            except OneNetError as error:
                refused = one_line(error)
        seconds = time.process_time() - start
        missed = tuple(found.missed)
        yield Row(name, target, precision, found.made, found.moved, found.unsealed, missed, seconds, refused)


def side_of(name: str) -> int:
    """Of a network's images, in pixels."""
    if name in TOYS:
        return 32
    return 2 * SIDE if name in LARGER else SIDE


def images(side: int) -> list[Any]:
    """Shipped pictures, (3, side, side) of 256 levels: some to calibrate with, two for the export, the rest for us."""
    import onenet
    from onenet.calibration.samples import default_calibration, default_evaluation

    several = onenet.load_samples(default_calibration(), side, side, limit=CALIBRATION).arrays
    others = onenet.load_samples(default_evaluation(), side, side, limit=PICTURES).arrays
    return [np.rint(each * 255).astype(np.float32) / np.float32(255) for each in (*several, *others)]


def build(name: str, pictures: Sequence[Any]) -> Any:
    """A network with the statistics of pictures."""
    import torch

    import onenet
    from bench.zoo.networks import NETWORKS as ZOO
    from bench.zoo.networks import build as build_written
    from bench.zoo.networks import settle
    from tests.conftest import enliven
    from tests.export.mutants import TOYS as FACTORIES

    size, batch = (side_of(name),) * 2, torch.from_numpy(np.stack(pictures))
    if name in OWN:
        model = onenet.build(name, input_size=size, width=OWN[name] or None, random_weights=OWN[name] > 0)
        if OWN[name]:
            settle(model.module, batch)
        return model
    torch.manual_seed(0)
    module = enliven(FACTORIES[name](), batch).eval() if name in TOYS else build_written(ZOO[name])
    if name in WRITTEN:
        settle(module, batch)
    return onenet.build(lambda: module, input_size=size)


def markdown(document: dict[str, Any]) -> str:
    """The page: what is found in all, a table of shares, and every fault that is missed."""
    rows, context = document["rows"], document["context"]
    names = list(dict.fromkeys(row["network"] for row in rows))
    kinds = sorted({(row["precision"], row["target"]) for row in rows}, key=lambda kind: (kind[0], TARGETS.index(kind[1])))
    heads = [f"{target} {precision}" for precision, target in kinds]
    lines = ["# Faults that verify finds", "", *about(), "", *totals(rows), ""]
    lines += [
        f"{len(names)} of {len(NETWORKS)} networks so far; at most {document['layers']} layers of a file were changed.",
        "Found of those that moved an output:",
        "",
        f"| network | {' | '.join(heads)} |",
        "|---|" + "--:|" * len(heads),
    ]
    for name in names:
        own = {(row["precision"], row["target"]): row for row in rows if row["network"] == name}
        lines.append(f"| {name} | {' | '.join(share(own[kind]) if kind in own else '' for kind in kinds)} |")
    for title, key in (("Missed", "missed"), ("No file", "refused")):
        lines += ["", f"## {title}", "", *(notes(rows, key) or ["None."])]
    minutes = sum(row["seconds"] for row in rows) / 60
    lines.append("")
    lines.append(f"{minutes:.0f} minutes of CPU time on {context['cpu']}, VNNI {'yes' if context['vnni'] else 'no'}.")
    return "\n".join(lines) + "\n"


def notes(rows: Sequence[dict[str, Any]], key: str) -> list[str]:
    """What is noted under ``key`` of each row that has it."""
    texts = [(row, row[key] if isinstance(row[key], str) else "; ".join(row[key])) for row in rows]
    return [f"* {row['network']}, {row['target']} {row['precision']}: {text}" for row, text in texts if text]


def about() -> list[str]:
    """What the module's docstring says, without its commands, a paragraph each."""
    first, seal, _, second = (" ".join(each.split()) for each in (__doc__ or "").strip().split("\n\n"))
    return [first, "", seal, "", second, "", "Written by `python -m bench.mutations`; do not edit."]


def totals(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each precision."""
    lines = [
        "| precision | mutants | found by their content | moved an output | of these found by their values | share |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for precision in dict.fromkeys(row["precision"] for row in rows):
        own = [row for row in rows if row["precision"] == precision]
        made, moved, unsealed = (sum(row[key] for row in own) for key in ("made", "moved", "unsealed"))
        found = moved - sum(len(row["missed"]) for row in own)
        lines.append(f"| {precision} | {made} | {unsealed} | {moved} | {found} | {found / max(moved, 1):.1%} |")
    return lines


def share(row: dict[str, Any]) -> str:
    """``17 of 18``."""
    if row["refused"]:
        return "no file"
    return f"{row['moved'] - len(row['missed'])} of {row['moved']}"


if __name__ == "__main__":
    typer.run(main)
