"""Read the stored networks: their weights, an input and the output that belongs to it. README.md says where each comes from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

Array = np.ndarray

FOLDER = Path(__file__).parent
PUBLISHED = ("onenet_e4_width8", "onenet_ed4_width8")
"""Outputs of the official code."""
OWN = ("onenet_e2_width4", "onenet_ed2_width4")
"""Outputs of this repository's OneNet in float64."""
GOLDEN = (*PUBLISHED, *OWN)


@dataclass(frozen=True)
class Golden:
    """A network and what it computes.

    Attributes:
        config: The official code's description of the network.
        state: Weights by the official code's names.
        input: (1, 3, H, W) float32.
        output: (1, classes, H, W) float32, logits.
    """

    config: dict[str, object]
    state: dict[str, Array]
    input: Array
    output: Array


def load(name: str) -> Golden:
    """The stored network of this name.

    Raises:
        ValueError: A drawn array is not what the official code started from.
    """
    with np.load(FOLDER / f"{name}.npz") as content:
        state = {key.removeprefix("state/"): content[key] for key in content.files if key.startswith("state/")}
        if "drawn" in content.files:
            state |= drawn(json.loads(str(content["drawn"])))
        return Golden(json.loads(str(content["config"])), state, content["input"], content["output"])


class Recipe(TypedDict):
    """How the arrays that are not stored were drawn: from which seed, and name, shape and SHA-256 of each, in order."""

    seed: int
    arrays: list[tuple[str, list[int], str]]


def drawn(recipe: Recipe) -> dict[str, Array]:
    """The arrays that PyTorch's default initialisation drew, one after the other, from its seeded generator.

    PyTorch draws a weight uniformly in [-b, b) from 24 bits of its Mersenne Twister, b = 1 / sqrt(fan-in). numpy has the same
    twister with the same seeding. Every array is compared with the SHA-256 of the original.
    """
    twister = np.random.RandomState(recipe["seed"])
    arrays, fan = {}, 1
    for name, shape, digest in recipe["arrays"]:
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else fan  # a bias follows its weight
        bits = twister.randint(0, 2**32, size=int(np.prod(shape)), dtype=np.uint32) & np.uint32(2**24 - 1)
        bound = np.float32(1 / np.sqrt(fan))
        values = bits.astype(np.float64) * 2.0**-24 * np.float64(bound + bound) - np.float64(bound)
        arrays[name] = values.astype(np.float32).reshape(shape)
        if hashlib.sha256(arrays[name].tobytes()).hexdigest()[:16] != digest:
            raise ValueError(f"{name} is not the array that the official code started from")
    return arrays
