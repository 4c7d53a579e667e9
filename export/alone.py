"""Is one layer of an int8 artifact wrong where the outputs look right, because little of them comes through it?

``layers`` holds each layer to what kernels differ by, and tells. This refuses files, and so asks less: a layer may be off by
more than rounding where a runtime computes an operator in a way of its own.
"""

from __future__ import annotations

from pathlib import Path

from onenet.base.quiet import quiet
from onenet.errors import ToolError
from onenet.exporters.job import Job
from onenet.exporters.layers import LOST, LayerPlace, Reference, comparison, open_exact
from onenet.lowering.operators import WEIGHTED
from onenet.runtimes.layers import Difference, named

CLEAR_DB, CLEAR_STEPS = 25.0, 0.5
"""A layer with less of its signal, and farther off on average, is wrong whatever computed it: weights that are a tenth off
leave 20 dB, and kernels that round in their own ways differ by 0.1 steps."""
MOST_VALUES = 1 << 27
"""Of all layers together, in float32 half a gigabyte: an export compares no more."""


def wrong_layer(job: Job, path: Path) -> tuple[int, str]:
    """How many layers of a job's artifact were compared, each on its own inputs, and the first that is clearly wrong, in words.

    Raises:
        OneNetError: nothing can be compared here.
    """
    reference = Reference(job)
    if sum(place.node.meta["val"].numel() for place in reference.places.values()) > MOST_VALUES:
        raise ToolError(f"the layers hold more than {MOST_VALUES >> 20} Mi values; onenet verify --layers compares them")
    with quiet():
        found = comparison(reference, open_exact(path), whole=False)
    wrong = next((place for place, each in found.alone.items() if clearly_wrong(place, each)), None)
    if wrong is None:
        return len(found.alone), ""
    sqnr, steps = found.alone[wrong].sqnr_db, found.alone[wrong].mean_steps
    by = f" and {steps:.2f} int8 steps off on average" if steps is not None else ""
    return len(found.alone), f"{named(', '.join(wrong.operators), wrong.module)} has {sqnr:.1f} dB on its own inputs{by}"


def clearly_wrong(place: LayerPlace, found: Difference) -> bool:
    """Whether no rounding explains a layer's difference.

    In float only layers with weights are looked at: of ``floor`` or ``sign`` the last bit of an input may decide.
    """
    if found is LOST or found.sqnr_db >= CLEAR_DB:
        return False
    if found.mean_steps is None:
        return place.operator.target in WEIGHTED and found.sqnr_db > float("-inf")  # of zeros nothing is left to compare with
    return not found.mean_steps <= CLEAR_STEPS
