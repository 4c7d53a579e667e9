"""From what the user names to a network that can be made, with what a ``model.toml`` beside it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from onenet.errors import RequestError
from onenet.models import libraries
from onenet.models.facts import OPTIONS, Facts, read_beside
from onenet.models.programs import load_program
from onenet.models.sources import LIBRARIES, Found, beside, load_factory


@dataclass(frozen=True)
class Asked:
    """What ``build`` is asked for beside the network itself."""

    weights: Path | None = None
    seed: int | None = None
    """Draw weights, seeded."""
    classes: int | None = None
    """Of another library's network."""
    facts: Facts = field(default_factory=Facts)


def with_file(model: str, asked: Asked) -> tuple[str, Asked]:
    """The reference, and what is asked for with what the ``model.toml`` beside it says.

    Raises:
        RequestError: the two contradict each other, or the file names no network where it stands for one.
    """
    file = beside(model)
    if file is None:
        return model, asked
    said = read_beside(file)
    if model.endswith(".toml"):
        if said.model is None:
            raise RequestError(f'{file} names no network; write model = "file.py:factory" into it')
        model = said.model
    elif said.model is not None and Path(said.model) != Path(model):
        return model, asked  # it is for another network of this folder
    if said.weights and asked.weights and said.weights.resolve() != asked.weights.resolve():
        raise RequestError(f"weights is {asked.weights} by the options and {said.weights} by {file.name}; say it in one place")
    if said.weights and asked.seed is not None:
        raise RequestError(f"random weights were asked for, and {file.name} names {said.weights.name}; say it in one place")
    facts = asked.facts.joined(said.facts, OPTIONS, file.name)
    return model, replace(asked, weights=asked.weights or said.weights, facts=facts)


def asked_of_library(asked: Asked) -> dict[str, object]:
    """What ``find_source`` is told."""
    own = asked.weights is None and asked.seed is None
    return {"classes": asked.classes, "channels": asked.facts.channels, "own": own}


def find_source(model: str, asked: Mapping[str, object]) -> Found:
    """What a reference leads to.

    Args:
        model: a reference of one of ``sources.FORMS``.
        asked: ``classes``, ``channels`` (None: the library's own) and ``own``: whether its trained weights are wanted.

    Raises:
        RequestError: there is no such thing.
        ToolError: its library is not installed.
    """
    scheme, _, rest = model.partition(":")
    if scheme in LIBRARIES and not model.endswith(".py"):
        return libraries.find(scheme, rest, asked)
    if asked.get("classes") is not None:
        raise RequestError(f"--classes {asked['classes']} is for models by name; {model} decides itself how many it has")
    if model.endswith(".pt2"):
        return Found(lambda: load_program(Path(model)), name=Path(model).stem)
    return Found(load_factory(model))
