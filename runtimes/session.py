"""What every runtime gives: a card that says what it opens, and sessions that compute with what they opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn, Optional

import numpy as np
from numpy.typing import NDArray

from onenet.base.arrays import Array
from onenet.base.data import parse_json
from onenet.base.text import one_line
from onenet.errors import CheckError, NotShownError, ToolError
from onenet.spec import TensorSpec

METADATA = "onenet"
"""The key that the manifest has in every artifact's own metadata."""
EVALUATOR = " evaluator"
"""How the name of an evaluator ends."""


@dataclass(frozen=True)
class RuntimeInfo:
    """What computes an artifact."""

    name: str
    version: str
    kernels: str
    """In words; where this machine cannot compute it, why not."""

    @property
    def is_evaluator(self) -> bool:
        """Whether values come from an evaluator of ours, and not from the runtime that a device has."""
        return self.name.endswith(EVALUATOR)

    def as_dict(self) -> dict[str, str]:
        """Name, version and kernels, as a report holds them."""
        return asdict(self)


@dataclass(frozen=True)
class Operators:
    """How many of each operator an artifact holds, before its runtime rewrites them where that can be told."""

    counts: Mapping[str, int]
    partitions: int | None = None
    """Parts of it that a delegate took over; None where the runtime has no delegates."""


@dataclass(frozen=True)
class OperatorTime:
    """Mean time of one operator as the runtime runs it."""

    name: str
    type: str
    ms: float


@dataclass(frozen=True)
class LayerValue:
    """A layer's output as the artifact stores it: float, or integers with their scale and zero point."""

    stored: Array
    scale: float | None = None
    zero_point: int = 0

    def floats(self) -> NDArray[np.float32]:
        """The stored values in float32, dequantized where there is a scale."""
        values = self.stored.astype(np.float32)
        return values if self.scale is None else (values - np.float32(self.zero_point)) * np.float32(self.scale)


class Session:
    """An artifact opened in its runtime.

    The specs say what the file itself says: names, shapes (-1 where it leaves an axis open), dtypes, and the int8 scale
    where it holds one. Roles are guesses and layouts mostly "other": those are in the manifest.

    A runtime overrides ``run``, and of the rest what it can do. What it cannot is refused with a NotShownError.
    """

    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runtime: RuntimeInfo
    runs_here: bool = True
    """False where this machine can read the artifact but not compute with it; ``runtime.kernels`` says why."""
    may_saturate: bool = False
    """Whether this machine's int8 kernels may give other values than the artifact means (``exact_int8`` does not)."""

    @property
    def layer_kernels(self) -> str:
        """What computes the values that ``layers`` gives."""
        return self.runtime.kernels

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs.

        Args:
            feeds: every input by its name, in its shape and dtype.

        Raises:
            RequestError: names, shapes or dtypes differ from ``inputs``.
            ToolError: the runtime failed.
        """
        raise NotImplementedError

    def check(self) -> str | None:
        """Look at the file without running it: is everything there that it refers to?

        Returns:
            What was looked at, in a sentence; None where this runtime leaves that to ``run``.

        Raises:
            CheckError: something is missing or damaged.
        """
        return None

    def operators(self) -> Operators:
        """The operators that the file holds.

        Raises:
            NotShownError: this runtime cannot show them.
        """
        self.refuse("which operators it holds")

    def profile(self, feeds: Mapping[str, Array], runs: int) -> list[OperatorTime]:
        """Time every operator, over several runs.

        Args:
            feeds: as ``run`` takes them.

        Raises:
            NotShownError: this runtime cannot time them.
            RequestError, ToolError: as ``run``.
        """
        del feeds, runs
        self.refuse("how long its operators take")

    def layers(self, feeds: Mapping[str, Array]) -> dict[str, LayerValue]:
        """Every value between the operators, by the operator's name; a quantized one as it is stored.

        Args:
            feeds: as ``run`` takes them.

        Raises:
            NotShownError: this runtime cannot show them.
            RequestError, CheckError, ToolError: as ``run``.
        """
        del feeds
        self.refuse("what is between its layers")

    def refuse(self, what: str) -> NoReturn:
        """Raises NotShownError, which says that the runtime cannot show this of the file."""
        raise NotShownError(f"{self.runtime.name} cannot show of {self.path.name} {what}")


Open = Callable[[Path, Optional[int], bool], Session]
"""``open(path, threads, exact_int8)``; see ``onenet.runtimes.open_session``."""
ReadManifest = Callable[[Path], Optional[dict[str, object]]]


def no_manifest(path: Path) -> None:
    """Of a format that carries none."""
    del path


@dataclass(frozen=True)
class Runtime:
    """What opens artifacts of some formats: the card of a file in ``backends``, in its tuple ``RUNTIMES``."""

    name: str
    """As ``--runtime`` takes it: the distribution that brings it, where one does."""
    title: str
    """As a person writes it."""
    suffixes: tuple[str, ...]
    """Of the artifacts that it opens, with the dot."""
    order: int
    """Of several that open a format, the installed one of the lowest order does, unless one is named."""
    open: Open | None = None
    """None where it computes on devices only."""
    read_manifest: ReadManifest = no_manifest
    """The manifest embedded in an artifact; None where it carries none. Needs no interpreter.

    Raises CheckError where the manifest is damaged, ToolError where the file cannot be read."""
    load: Callable[[], object] = field(default=lambda: None)
    """Import what it computes with. Raises ToolError where that is not installed; says what to install."""
    packages: tuple[str, ...] = ()
    """Distributions that it computes with; ``doctor`` looks for them."""
    travels: bool = False
    """Whether the agent carries it to devices."""
    measures: bool = False
    """Whether devices measure in it: ``onenet bench --runtime`` takes its name."""

    def is_usable(self) -> bool:
        """Whether what it computes with can be imported here."""
        try:
            self.load()
        except ToolError:
            return False
        return True


def parse_manifest(text: str | bytes, where: str) -> dict[str, object]:
    """The manifest found in ``where``.

    Raises:
        CheckError: it is not a JSON object, so something rewrote the artifact.
    """
    try:
        manifest = parse_json(text)
    except ValueError as error:
        raise CheckError(f"the manifest inside {where} is not JSON ({one_line(error)}); export the artifact again") from error
    if not isinstance(manifest, dict):
        raise CheckError(f"the manifest inside {where} is a JSON {type(manifest).__name__}, not an object")
    return manifest
