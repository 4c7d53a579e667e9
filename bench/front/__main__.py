"""The deployment front of all registered models.

    python -m bench.front --evaluation DIR            # all that is not measured yet; some hours on two cores
    python -m bench.front --only lsnet --again        # one model anew
    python -m bench.front --no-making --no-timing     # the picture and the pages from what is kept

Every model is measured as published, with random weights; those that ship trained are measured as they ship too, on the images
and masks of ``--evaluation``, without which the 8 shipped ones are taken. Artifacts stay in build/front until they are timed,
all one after the other; so they can be made before, on a busy machine (``--no-timing``). Writes docs/benchmarks/front.json
after each model, and from it docs/benchmarks/front.md, docs/front.png and onenet/models/measured.json.
"""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

import onenet
from bench.front.page import draw, measured, page
from bench.front.rows import SIZE, Subject, made, timed
from bench.networks import ROOT
from onenet.base.files import publish, temporary_folder
from onenet.calibration.samples import default_evaluation
from onenet.cli.shared import one_line_errors
from onenet.models import REGISTRY

PRECISIONS = "fp32,fp16,int8"
KEPT = ROOT / "docs" / "benchmarks" / "front.json"


@one_line_errors
def main(
    evaluation: Annotated[Path | None, typer.Option(help="folder with images/ and labels/")] = None,
    only: Annotated[str, typer.Option(help="names of models, with commas")] = "",
    trained: Annotated[bool, typer.Option(help="what ships trained")] = True,
    published: Annotated[bool, typer.Option(help="the published networks")] = True,
    precision: Annotated[str, typer.Option(help="with commas")] = PRECISIONS,
    making: Annotated[bool, typer.Option(help="export and score")] = True,
    timing: Annotated[bool, typer.Option(help="time, and measure memory")] = True,
    again: Annotated[bool, typer.Option(help="also what is kept already")] = False,
    kept: Annotated[Path, typer.Option(help="what is measured, as JSON")] = KEPT,
) -> None:
    """Make and score every artifact, then time them all, then draw."""
    warnings.simplefilter("ignore")
    store, chosen = Store(kept), subjects(only, trained, published)
    unmade = [each for each in chosen if making and (again or each.key not in store.entries)]
    images = onenet.load_labelled(evaluation or default_evaluation(), *SIZE) if unmade else None
    for subject in unmade:
        assert images is not None
        began = time.monotonic()
        store.keep(made(subject, images, precision.split(","), folder_of(subject)))
        typer.echo(f"{subject.key}: made in {time.monotonic() - began:.0f} s")
    for subject in chosen if timing else []:
        entry = store.entries.get(subject.key)
        if entry and (again or "machine" not in entry):
            store.keep(timed(entry, folder_of(subject)))
            typer.echo(f"{subject.key}: timed")
    write(store.document, kept)


def folder_of(subject: Subject) -> Path:
    """Where a model's artifacts are until they are timed."""
    return ROOT / "build" / "front" / subject.key


class Store:
    """The document's file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """Key -> entry, as they are kept now: another process may have measured meanwhile."""
        found = json.loads(self.path.read_text())["models"] if self.path.exists() else []
        return {entry["key"]: entry for entry in found}

    @property
    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return in_order(self.entries)

    def keep(self, entry: dict[str, Any]) -> None:
        """Take an entry in the place of one of its key."""
        self.path.write_text(json.dumps(in_order({**self.entries, entry["key"]: entry}), indent=1) + "\n")


def in_order(entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The document: trained models first, each part in the registry's order."""
    places = {name: place for place, name in enumerate(REGISTRY)}
    ordered = sorted(entries.values(), key=lambda entry: (not entry["trained"], places[entry["model"]]))
    return {"schema": 1, "models": ordered}


def subjects(only: str, trained: bool, published: bool) -> list[Subject]:
    """What is to be measured, in the registry's order: what ships, then the published networks."""
    names = only.split(",") if only else list(REGISTRY)
    ships = [Subject(name, trained=True) for name in names if REGISTRY[name].weights]
    return [*(ships if trained else []), *(Subject(name, trained=False) for name in names if published)]


def write(document: dict[str, Any], kept: Path) -> None:
    """The picture and the pages of what is kept."""
    with temporary_folder(kept.parent) as folder:
        draw(document, folder / "front.png")
        (folder / "front.md").write_text(page(document))
        (folder / "measured.json").write_text(json.dumps(measured(document), indent=1) + "\n")
        publish(folder / "front.png", kept.parent.parent / "front.png")
        publish(folder / "front.md", kept.parent / "front.md")
        if kept == KEPT:
            publish(folder / "measured.json", ROOT / "onenet" / "models" / "measured.json")


if __name__ == "__main__":
    typer.run(main)
