"""Targets: one card a file. What a target is stands on its card, and everything else reads it there.

A new file with ``TARGET = Target(...)`` is a new target; what exports it is ``onenet.exporters.<name>``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onenet.base.folder import Folder
from onenet.errors import RequestError
from onenet.spec import Layout

PRECISIONS: tuple[str, ...] = ("fp32", "fp16", "int8", "w8")
"""Every precision; ``w8`` is int8 weights and float arithmetic."""
IO: tuple[str, ...] = ("float", "int8")
"""What an artifact takes and gives."""


@dataclass(frozen=True)
class Target:
    """One format of artifacts. Data only, so that reading it loads no converter."""

    name: str
    """As ``--target`` takes it; the exporter's module has it too."""
    title: str
    """As a person writes it."""
    suffix: str
    """Of its artifacts, with the dot."""
    layout: Layout
    """Order of axes of images in its artifacts."""
    order: int
    """Place among the targets in help texts and tables."""
    packages: tuple[str, ...]
    """Distributions that convert: the manifest names their versions, ``doctor`` looks for them."""
    precisions: tuple[str, ...] = PRECISIONS
    narrowed: tuple[str, ...] = ()
    """Types that the converter turns into int32. A model with such an input is refused; such an output is int32 in the file."""
    int8_io: bool = False
    """Whether int8 artifacts can take and give int8 tensors."""
    rules: tuple[str, ...] = ()
    """Lowering rules of the target's own form, by file name, in the order in which they run."""
    open_weights: bool = False
    """Whether the converter reads weights behind their own quantize operator; else it reads int8 constants."""
    sqnr_db: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Precision -> dB asked of outputs, where the target's arithmetic needs another tolerance than the precision's own."""
    colour: str = "#5b6670"
    """Of its line in pictures, ``#rrggbb``."""
    width: float = 2.0
    """Of its line in pictures, in pixels. Lines that agree lie on one another: each is narrower than the one below it."""
    marker: str = "."
    """On its line in pictures, as matplotlib names it."""
    page_colours: tuple[str, str] = ("#a5527f", "#cc79a7")
    """On a report's light and dark page."""


TARGETS: Folder[Target] = Folder("onenet.targets", "TARGET")


def target_of(name: str) -> Target:
    """The card of a target.

    Raises:
        RequestError: there is none of this name.
    """
    return TARGETS.get(name, "target")


def title_of(name: str) -> str:
    """A target's title; the name itself where it is no target of this version."""
    card = TARGETS.cards().get(name)
    return card.title if card else name


def suffixes() -> dict[str, str]:
    """Target -> suffix of its artifacts."""
    return {name: card.suffix for name, card in TARGETS.cards().items()}


def pairs() -> list[tuple[str, str]]:
    """Every (target, precision) that exists."""
    return [(name, precision) for name, card in TARGETS.cards().items() for precision in card.precisions]


def check_pair(target: str, precision: str, io: str = "float") -> None:
    """Refuse an impossible combination before any work.

    Raises:
        RequestError: says what was asked and lists what exists.
    """
    card = target_of(target)
    if precision not in card.precisions:
        possible = ", ".join(card.precisions)
        raise RequestError(f"precision {precision!a:.100} does not exist for {target}; supported: {possible}")
    if io not in IO:
        raise RequestError(f"io {io!a:.100} is not known; supported: {', '.join(IO)}")
    if io == "int8" and precision != "int8":
        raise RequestError(f"int8 input and output need --precision int8, found {precision}; use --io float")
    if io == "int8" and not card.int8_io:
        able = ", ".join(name for name, each in TARGETS.cards().items() if each.int8_io)
        raise RequestError(f"{target} has no int8 input and output; use --io float, or target {able}")


def combinations(targets: Sequence[str], precisions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every (target, precision), in the order asked, once each."""
    yield from dict.fromkeys((t, p) for t in targets for p in precisions)
