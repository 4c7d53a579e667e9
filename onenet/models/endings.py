"""What a network's output ends in, seen while it runs once: shapes alone do not tell classes from colours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from onenet.spec import TensorSpec
from onenet.tasks import Task, recognize, task_of

aten = torch.ops.aten
Ending = Literal["probabilities", "labels", "picture", ""]
"""Empty: nothing tells."""
Result = TypeVar("Result")

LABELS = (aten.argmax.default,)
PROBABILITIES = (aten._softmax.default, aten.sigmoid.default, aten.sigmoid_.default)
LIMITED = (
    *(aten.tanh.default, aten.clamp.default, aten.hardtanh.default),
    *(aten.tanh_.default, aten.clamp_.default, aten.hardtanh_.default),
)
"""What keeps values in the range of a picture's; logits have none."""
MOVES = (
    *(aten.view.default, aten._unsafe_view.default, aten._reshape_alias.default, aten.clone.default, aten._to_copy.default),
    *(aten.permute.default, aten.transpose.int, aten.slice.Tensor, aten.squeeze.dim, aten.unsqueeze.default),
    *(aten.pixel_shuffle.default, aten.upsample_nearest2d.default, aten.upsample_bilinear2d.default),
    *(aten.upsample_bicubic2d.default, aten.alias.default, aten.detach.default),
)
"""What changes places and sizes, and leaves values what they are."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """A tensor that may be gone: an activation is not kept for this. No other one has its number while it lives."""

    number: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, value: object) -> object:
        """A tensor's; anything else as it is."""
        return cls(id(value), tuple(value.shape)) if isinstance(value, Tensor) else value


@dataclasses.dataclass(frozen=True)
class Call:
    """One operator of a run."""

    operator: Callable[..., Any]
    taken: tuple[object, ...]
    made: tuple[object, ...]


class Recorder(TorchDispatchMode):
    """Keeps what runs inside it, in order."""

    def __init__(self) -> None:
        begin: Callable[[], None] = super().__init__  # torch gives it no types
        begin()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run one operator."""
        result = func(*args, **(kwargs or {}))
        self.calls.append(Call(func, tuple(map(Seen.of, args)), tuple(map(Seen.of, tree_leaves(result)))))
        return result


def recorded(run: Callable[[], Result]) -> tuple[Result, list[Call]]:
    """What a run gives, and its operators in order: none where torch cannot show all of them, as in ``torch.cond``."""
    try:
        with Recorder() as recorder:
            return run(), recorder.calls
    except Exception:  # the network's own error is raised again
        torch.compiler.reset()  # torch.cond is compiled, and what was compiled under the recorder fails without it
        return run(), []


def maker(value: object, calls: list[Call]) -> tuple[Call | None, list[Call]]:
    """The last call that made a tensor, and those before it; None for an input or a constant."""
    number = value.number if isinstance(value, Seen) else None
    for place in range(len(calls) - 1, -1, -1):
        if number in [each.number for each in calls[place].made if isinstance(each, Seen)]:
            return calls[place], calls[:place]
    return None, []


def origin(value: object, calls: list[Call]) -> tuple[Call | None, object, list[Call]]:
    """What made a tensor before its values were only moved: the call or None, the tensor there, and the calls before it."""
    made, before = maker(value, calls)
    while made is not None and made.operator in MOVES:
        value = made.taken[0]
        made, before = maker(value, before)
    return made, value, before


def ending_of(output: Tensor, image: Tensor, calls: list[Call]) -> tuple[Ending, tuple[int, ...]]:
    """What one output is, as far as its last operators tell, and the shape of what that operator took.

    Args:
        output: of a network that ``recorded`` ran, (N, C, ...).
        image: what it was given.
        calls: what ran.
    """
    made, _, before = origin(Seen.of(output), calls)
    if made is None or not made.taken or not isinstance(made.taken[0], Seen):
        return "", ()
    taken = made.taken[0].shape
    grows = output.ndim == image.ndim == 4 and output.shape[2] > image.shape[2]
    if made.operator in LABELS:
        return "labels", taken
    if made.operator in PROBABILITIES and not grows:
        axis = made.taken[1] if made.operator is aten._softmax.default else 1
        is_row = isinstance(axis, int) and output.ndim > 1 and taken[axis] == output.shape[1]
        return ("probabilities" if is_row else ""), taken
    if grows or made.operator in (*PROBABILITIES, *LIMITED) or is_residual(made, image, before):
        return "picture", taken
    return "", taken


def is_residual(made: Call, image: Tensor, before: list[Call]) -> bool:
    """Whether the image itself is added to what a network computes, or subtracted from it."""
    joins = (aten.add.Tensor, aten.sub.Tensor, aten.add_.Tensor)
    return made.operator in joins and any(origin(each, before)[1] == Seen.of(image) for each in made.taken[:2])


def signature_of(results: Iterable[Tensor], image: Tensor, calls: list[Call]) -> tuple[Task, tuple[TensorSpec, ...], int, str]:
    """Task and outputs of a network that ran once, how many classes it has, and what should be known of that.

    Args:
        results: its outputs.
        image: what it was given, (1, C, H, W).
        calls: what ``recorded`` saw; nothing is known without any.
    """
    shapes = [(tuple(each.shape), str(each.dtype).removeprefix("torch.")) for each in results]
    task, outputs = recognize(shapes)
    (first, *others) = results
    ending, taken = ending_of(first, image, calls)
    if others or not ending:
        return task, outputs, task.class_count(outputs[0]), doubt(task, outputs, image)
    if ending == "labels":
        return labelled(task, outputs, taken, shapes[0])
    count = task.class_count(outputs[0])
    if ending == "picture" and outputs[0].layout == "NCHW" and outputs[0].shape[1] == image.shape[1]:
        other = task_of("other")
        return other, other.signature_of(shapes) or outputs, 0, ""
    if outputs[0].role == "logits" and ending in task.output_roles:
        outputs = (task.with_role(outputs[0], "probabilities"),)
    return task, outputs, count, ""


def labelled(
    task: Task, outputs: tuple[TensorSpec, ...], logits: tuple[int, ...], found: tuple[tuple[int, ...], str]
) -> tuple[Task, tuple[TensorSpec, ...], int, str]:
    """The signature where the output is which of the classes of ``logits`` is the largest; as it was where it is not that."""
    shape, dtype = found
    theirs, specs = recognize([(logits, "float32")])
    if "labels" in theirs.output_roles:
        spec = dataclasses.replace(theirs.with_role(specs[0], "labels"), dtype=dtype)
        if spec.shape == shape:
            return theirs, (spec,), theirs.class_count(specs[0]), ""
    return task, outputs, task.class_count(outputs[0]), ""


def doubt(task: Task, outputs: tuple[TensorSpec, ...], image: Tensor) -> str:
    """A line where classes may be colours; else empty."""
    spec = outputs[0]
    if not task.output_roles or spec.layout != "NCHW" or image.shape[1] != 3 or spec.shape[1] != 3:
        return ""
    return (
        "its three channels are taken for classes; where they are colours, let the factory return a ModelSpec with the task "
        "other beside the network"
    )
