"""What a network returns: the logits that it computes, or what ``--output`` makes of them."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor, nn

from onenet.errors import RequestError
from onenet.model import Model
from onenet.tasks import TASKS, task_of
from onenet.tasks.segmentation import edge_of

Output = Literal["logits", "probabilities", "labels"]
OUTPUTS: tuple[Output, ...] = ("logits", "probabilities", "labels")


class WithOutput(nn.Module):
    """Class logits turned into probabilities, or labels (int32), over the channel axis.

    Args:
        module: gives logits.
        output: what they become.
        edge: of one channel of logits, the value above which a label is 1; None where each class has a channel.
    """

    def __init__(self, module: nn.Module, output: Output, edge: float | None = None) -> None:
        super().__init__()
        self.module = module
        self.output, self.edge = output, edge

    def forward(self, *inputs: Tensor) -> Tensor:
        """The module's inputs -> probabilities, or labels as int32."""
        logits: Tensor = self.module(*inputs)
        if self.output == "probabilities":
            return logits.softmax(1) if self.edge is None else logits.sigmoid()
        return logits.argmax(1).to(torch.int32) if self.edge is None else (logits[:, 0] > self.edge).to(torch.int32)


def with_output(model: Model, output: Output) -> Model:
    """The same network with its logits turned into another role; as it is where its output has that role.

    Raises:
        RequestError: it gives anything but one output of logits, or its task has no such role.
    """
    task = task_of(model.spec.task, model.spec.threshold)
    logits = model.spec.outputs[0]
    if logits.role == output:
        return model
    if len(model.spec.outputs) != 1 or logits.role != "logits" or output not in task.output_roles:
        gives = ", ".join(f"{t.role} {t.shape}" for t in model.spec.outputs)
        able = " or ".join(each.title for each in TASKS.cards().values() if output in each.output_roles)
        raise RequestError(f"output {output!r} needs class logits alone, as {able} has; {model.spec.name} gives {gives}")
    spec = dataclasses.replace(model.spec, outputs=(task.with_role(logits, output),))
    edge = edge_of("logits", spec.threshold) if task.is_binary(logits) else None
    return dataclasses.replace(model, spec=spec, module=WithOutput(model.module, output, edge).eval())
