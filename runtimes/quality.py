"""How good an artifact is on images: against the float model, and against true labels where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onenet.base.arrays import Array
from onenet.base.metrics import sqnr_db
from onenet.spec import Role
from onenet.tasks import Task

LARGEST = 999.0
"""JSON has no infinity, which is the SQNR of equal outputs."""


@dataclass(frozen=True)
class Quality:
    """An artifact against the float model on images, and both against the truth where it is known."""

    images: int
    sqnr_db: float | None
    """None for outputs that hold labels."""
    label_agreement: float | None
    """None for a task without labels."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """The artifact's figures by the names of the task's metrics; without true labels only those that need none."""
    float_scores: Mapping[str, float] = field(default_factory=dict)
    """The float model's, of those that need true labels."""

    def as_dict(self) -> dict[str, float | int | None]:
        """What manifests and documents hold: ``miou`` is the artifact's, ``miou_float`` the float model's."""
        figures = {"sqnr_db": self.sqnr_db, "label_agreement": self.label_agreement}
        for name, value in self.scores.items():
            if name in self.float_scores:
                figures[f"{name}_float"] = self.float_scores[name]
            figures[name] = value
        return {"images": self.images, **{name: as_json(value) for name, value in figures.items()}}


def as_json(value: float | None) -> float | None:
    """A figure that JSON can hold: NaN, the SQNR of an output that overflows, is None."""
    return None if value is None or value != value else round(min(max(value, -LARGEST), LARGEST), 6)


def quality(task: Task, role: Role, reference: Array, found: Array, truth: Array | None = None, classes: int = 0) -> Quality:
    """Compare the float model's outputs with an artifact's; with ``truth``, score both against it.

    Args:
        task: what the outputs are for.
        role: of both outputs.
        reference, found: of one shape, batch first and classes in axis 1.
        truth: labels as the task's ``Labels.read`` gives them, stacked.
        classes: how many there are.

    Raises:
        RequestError: shapes that do not belong together, or a label without a class.
    """
    sqnr = None if role == "labels" else sqnr_db(reference, found)
    agreement = task.agreement(reference, found, role) if role in task.output_roles else None
    scores = task.compare(reference, found, role)
    if truth is None:
        return Quality(len(reference), sqnr, agreement, scores)
    own, floats = (task.score(value, role, truth, classes) for value in (found, reference))
    return Quality(len(reference), sqnr, agreement, {**own, **scores}, floats)
