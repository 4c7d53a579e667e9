"""The graph that rules rewrite: torch.export's ATen graph, with a shape on every node and weights in float64.

Shapes are static and carried as meta tensors, so a new node knows its shape the moment it is made. Types that operators name
stay those of the float32 program; in float64 it is run by ``in_float64``, which widens them.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import operator
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from onenet.lowering.double import in_float64
from onenet.lowering.operators import RELU, Operator
from onenet.lowering.proof import outputs

LAYER = "nn_module_stack"
"""Where torch.export keeps the modules that an operator is called in, with their paths in the network."""


def channel_affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``x * scale + shift`` per channel (axis 1). The one form in which rules speak of normalisation and BatchNorm."""
    shape = [1, -1] + [1] * (x.dim() - 2)
    return x * scale.reshape(shape) + shift.reshape(shape)


class Graph:
    """A traced module under rewrite."""

    double = False
    """Whether it computes in float64."""

    def __init__(self, module: GraphModule) -> None:
        """A copy of ``module``, in its own types."""
        self.module = module = copied(module)
        self.layer: object = None
        for node in module.graph.nodes:
            value = node.meta.get("val", self.value(node))
            if isinstance(value, Tensor):
                node.meta["val"] = torch.empty(value.shape, dtype=value.dtype, device="meta")
            elif node.op == "call_function" and value is None:  # what calibration put in carries no shape
                node.meta["val"] = computed(target_of(node), node.args, node.kwargs)
        module.graph.eliminate_dead_code()

    @classmethod
    def of(cls, module: GraphModule, *, double: bool = False) -> Graph:
        """A copy of a module, in its own types or in float64."""
        return cls(module).to_float64() if double else cls(module)

    def to_float64(self) -> Graph:
        """Itself, with weights and shapes turned to float64; it computes in float64 from now on."""
        as_type(self.module, torch.float64)
        self.double = True
        return self

    def arithmetic(self) -> contextlib.AbstractContextManager[object]:
        """Inside the block operators compute as the graph does."""
        return in_float64() if self.double else contextlib.nullcontext()

    def outputs(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """What the graph gives as it stands."""
        module = self.finish()
        with self.arithmetic():
            return outputs(module, inputs)

    def calls(self, *targets: Operator) -> Iterator[Node]:
        """Nodes that call one of ``targets``, in order; safe against rewriting while iterating."""
        for node in list(self.module.graph.nodes):
            if node.op == "call_function" and node.target in targets and not node._erased:
                yield node

    def value(self, argument: object) -> Tensor | None:
        """The tensor behind a parameter or buffer; None for anything computed."""
        if not isinstance(argument, Node) or argument.op != "get_attr":
            return None
        value = operator.attrgetter(str(argument.target))(self.module)
        return value.detach() if isinstance(value, Tensor) else None

    def constant_value(self, argument: object) -> Tensor:
        """The tensor behind a parameter or buffer, where ``check`` has seen that it is one."""
        value = self.value(argument)
        assert value is not None
        return value

    @contextlib.contextmanager
    def before(self, node: Node) -> Iterator[None]:
        """Insert what is called inside the ``with`` block in front of ``node``, as a part of the same layer of the network."""
        around, self.layer = self.layer, node.meta.get(LAYER) or self.layer
        with self.module.graph.inserting_before(node):
            yield
        self.layer = around

    def call(self, target: Operator, *args: Any) -> Node:
        """Insert a call at the current place; its shape is computed on meta tensors."""
        node = self.module.graph.call_function(target, args)
        node.meta["val"] = computed(target, args, {})
        if self.layer:
            node.meta[LAYER] = self.layer
        return node

    def constant(self, value: Tensor) -> Node:
        """Insert a new constant at the current place."""
        taken = dict(self.module.named_buffers())
        name = next(name for i in itertools.count(len(taken)) if (name := f"lowered_{i}") not in taken)
        self.module.register_buffer(name, value.contiguous())
        node = self.module.graph.get_attr(name)
        node.meta["val"] = torch.empty_like(value, device="meta")
        return node

    def replace(self, old: Node, new: Node) -> None:
        """Let every user of ``old`` use ``new``, and remove ``old`` with what only it needed."""
        old.replace_all_uses_with(new)
        self.erase(old)

    def erase(self, node: Node) -> None:
        """Remove a node nobody uses, and then its inputs that nobody uses any more."""
        if node.users or node._erased or node.op in ("placeholder", "output"):
            return
        inputs = node.all_input_nodes
        self.module.graph.erase_node(node)
        for each in inputs:
            self.erase(each)

    def finish(self) -> GraphModule:
        """Check the graph and make it runnable; the module under rewrite."""
        self.module.graph.lint()
        self.module.delete_all_unused_submodules()
        self.module.recompile()
        return self.module

    def to_float32(self) -> GraphModule:
        """The rewritten module in evaluation mode, weights and shapes in float32."""
        return as_type(plain(self.module), torch.float32)


def plain(module: GraphModule) -> GraphModule:
    """The same module in evaluation mode: an exported one refuses train() and eval(), this one does not."""
    return GraphModule(module, module.graph).eval()


def as_type(module: GraphModule, dtype: torch.dtype) -> GraphModule:
    """The module itself, with weights and shapes turned to a floating type."""
    for node in module.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.is_floating_point():
            node.meta["val"] = value.to(dtype)
    return module.to(dtype)


def copied(module: GraphModule) -> GraphModule:
    """A deep copy of a traced module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 warns of its own LeafSpec when a graph is copied
        return copy.deepcopy(module)


def computed(target: Operator, args: Any, kwargs: Any) -> Tensor:
    """The result of a call on meta tensors: its shape and type."""
    return target(*map_arg(args, lambda n: n.meta["val"]), **map_arg(kwargs, lambda n: n.meta["val"]))


def type_of(node: Node) -> torch.dtype | None:
    """The type of a node's value; None where it is no tensor."""
    value = node.meta.get("val")
    return value.dtype if isinstance(value, Tensor) else None


def is_float(node: Node) -> bool:
    """Whether a node's value is a tensor of real numbers."""
    kind = type_of(node)
    return kind is not None and kind.is_floating_point


def shape(node: Node) -> tuple[int, ...]:
    """The sizes of the node's value."""
    return tuple(node.meta["val"].shape)


def users(node: Node) -> list[Node]:
    """The nodes that read the node's value, as a list of their own: the graph may change meanwhile."""
    return list(node.users)


def target_of(node: Node) -> Operator:
    """What a call's node calls."""
    assert callable(node.target)
    return node.target


def layer_of(node: Node) -> str:
    """Path of the module that a node is called in, in the network that was traced; empty for the network itself.

    What calibration put in is called nowhere: it counts to the layer of what it reads.
    """
    while node.meta.get(LAYER) is None and node.all_input_nodes:
        node = node.all_input_nodes[0]
    paths = [path for path, _ in (node.meta.get(LAYER) or {}).values()]
    return next((path for path in reversed(paths) if path), "")


def name_of(node: Node) -> str:
    """``conv2d`` for aten.conv2d.default, as reasons name it."""
    return str(getattr(node.target, "__name__", node.target)).partition(".")[0]


def source_of(node: Node) -> Node:
    """The node that a call reads first."""
    return node.all_input_nodes[0]


def parts_of(node: Node) -> list[Node]:
    """The nodes that a concatenation joins."""
    return [each for each in arguments(node)[0] if isinstance(each, Node)]


def arguments(node: Node) -> list[Any]:
    """The positional and keyword arguments of a call by schema order, with the schema's defaults filled in."""
    assert isinstance(node.target, OpOverload)
    values = []
    for i, argument in enumerate(node.target._schema.arguments):
        if i < len(node.args):
            values.append(node.args[i])
        else:
            values.append(node.kwargs.get(argument.name, argument.default_value))
    return values


def limits_of(node: Node) -> tuple[float, float]:
    """Least and largest value that one of ``JOINED`` lets through; infinite where there is none."""
    if node.target in RELU:
        return 0.0, math.inf
    numbers = [each for each in arguments(node)[1:] if not isinstance(each, Node)] or [0.0, 6.0]  # ReLU6 names none
    low, high = (other if each is None else float(each) for each, other in zip(numbers, (-math.inf, math.inf), strict=True))
    return low, high


def spread(value: int | Sequence[int], count: int) -> list[int]:
    """torch's convention for per-axis options: one number, or one per axis."""
    return [value] * count if isinstance(value, int) else list(value) * (count // len(value))
