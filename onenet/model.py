"""A model at any stage before export: its signature, its module, and what was done to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from onenet.base.tiles import Tiling
from onenet.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class RuleResult:
    """One rule's outcome, as the manifest and ``onenet models show --lowering`` list it."""

    rule: str
    what: str
    """The rule's before -> after line."""
    applied: int
    declined: dict[str, int] = field(default_factory=dict)
    """Reason -> number of places."""

    def as_dict(self) -> dict[str, object]:
        """As a manifest holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Lowering:
    """Which exact rewrites were applied and declined, and the float64 proof's result."""

    rules: tuple[RuleResult, ...]
    error: float
    refused: str | None = None
    """Why nothing was rewritten, where no proof can be made for the network."""

    broken: tuple[str, ...] = ()
    """Rules that failed on the network and were left out: ``NAME, which failed: REASON``."""

    def warnings(self, name: str) -> list[str]:
        """What a user should know of a network that was not rewritten, or not by every rule: lines of text."""
        refused = f"{name} is exported as it is, without exact rewrites, because no proof can be made: {self.refused}"
        return [refused] * bool(self.refused) + [f"{name} is exported without the rule {each}" for each in self.broken]

    def as_dict(self) -> dict[str, object]:
        """As a manifest holds it: every rule, and the proof's error with two digits; or why there is none."""
        if self.refused:
            return {"rules": [], "float64_relative_error": None, "refused": self.refused}
        broken = {"broken": list(self.broken)} if self.broken else {}
        rules, error = [rule.as_dict() for rule in self.rules], float(f"{self.error:.1e}")
        return {"rules": rules, "float64_relative_error": error, **broken}


@dataclass(frozen=True)
class Model:
    """A network with its signature. ``build`` makes one, ``lower`` turns it into its deploy form."""

    spec: ModelSpec
    module: nn.Module
    lowering: Lowering | None = None
    tiling: Tiling | None = None
    """Set by ``lower`` and ``tile``: whether larger images run through it in tiles exactly."""
    notes: tuple[str, ...] = ()
    """What ``build`` changed of a network to take it: lines for the user."""
    doubt: str = ""
    """What ``build`` only guessed of its signature, and what to do where that is wrong."""
    before: Model | None = field(default=None, repr=False, compare=False)
    """Of a lowered model, what was lowered."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of how the network was taken and rewritten: lines of text."""
        return (*self.notes, *(self.lowering.warnings(self.spec.name) if self.lowering else ()))

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images for a model of one image: its input's, or what its input is a tile of."""
        _, _, height, width = self.spec.inputs[0].shape
        return (self.tiling and self.tiling.image_size) or (height, width)

    def example(self) -> tuple[Tensor, ...]:
        """Zero inputs of the right shapes and types."""
        import torch

        return tuple(torch.zeros(t.shape, dtype=getattr(torch, t.dtype)) for t in self.spec.inputs)
