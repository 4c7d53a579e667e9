"""From a user's module to the ATen graph that lowering reads: traced in the module's own types, then tidied.

The module runs as it is written, with ``.float()``, ``arange(dtype=...)`` or ``finfo(x.dtype)`` in it. Every floating type that
the graph names is float32 afterwards, which is what a deploy form computes in; what only checked types is gone.
"""

from __future__ import annotations

import contextlib
import linecache
import operator
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator, OpOverload
from torch.fx import GraphModule, Node
from torch.fx.node import map_aggregate
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from onenet.base.text import first_line, one_line
from onenet.errors import RequestError
from onenet.lowering.graph import Graph, arguments, copied, layer_of, name_of, type_of
from onenet.lowering.operators import aten
from onenet.lowering.proof import relative_difference

FLOATS = (torch.float16, torch.bfloat16, torch.float64)
"""The floating types that become float32."""
CASTS = (aten.to.dtype, aten.to.device, aten.to.dtype_layout, aten.to.other, aten.type_as.default, aten._to_copy.default)
"""Operators that change a value's type, or nothing."""
CHECKS = (aten._assert_tensor_metadata.default,)
"""Operators that compute nothing: they check a type that is another one in float64."""
WRAPPERS = (torch.ops.higher_order.wrap_with_set_grad_enabled, torch.ops.higher_order.wrap_with_autocast)
"""Blocks such as ``with torch.no_grad()`` or ``with torch.autocast(...)``: without meaning where nothing is trained."""
LIBRARIES = ("torch", "onenet")
"""Packages whose lines say nothing about the user's code."""


def traced(module: nn.Module, inputs: Sequence[Tensor]) -> GraphModule:
    """The ATen graph of a module in evaluation mode; its weights are copies, in float32 where they are floats.

    Args:
        module: any network that torch.export can trace. It is left as it was.
        inputs: of the shapes and types to trace for.

    Raises:
        RequestError: it cannot be traced; names the line, the operator and the module's path.
    """
    entered: list[str] = []
    try:
        with evaluating(module), noting(module, entered):
            program = torch.export.export(module, tuple(inputs), strict=False)
    except Exception as error:  # torch.export has many kinds of refusal, and runs the user's own code
        found = f"{first_line(error)}{place_of(error, entered)}"
        raise RequestError(f"torch.export cannot trace {type(module).__name__}: {found}") from error
    graph_module = copied(program.module(check_guards=False))
    inline(graph_module)
    in_float32(graph_module)
    return graph_module


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and behind the block in the modes that its parts had."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, training in modes:
            each.training = training


@contextlib.contextmanager
def noting(module: nn.Module, entered: list[str]) -> Iterator[None]:
    """Keep in ``entered`` the path of the part of the module that runs, innermost last; after an error, where that was."""

    def leave(*_: object) -> None:
        entered.pop()

    handles: list[RemovableHandle] = []
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):  # takes no hooks
            continue
        handles.append(part.register_forward_pre_hook(lambda *_, path=path: entered.append(path)))
        handles.append(part.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def place_of(error: Exception, entered: Sequence[str]) -> str:
    """The module's path and the line of the user's code that an error came from, as the end of a sentence."""
    path = f" in {entered[-1]}" if entered and entered[-1] else ""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if is_users(each.filename)]
    if not frames:
        return f";{path}" if path else ""
    last = frames[-1]
    line = one_line(linecache.getline(last.filename, last.lineno or 0).strip())
    return f";{path} at {Path(last.filename).name}:{last.lineno}: {line}"


def is_users(file: str) -> bool:
    """Whether a file belongs to the user's network rather than to what traces it."""
    roots = (Path(torch.__file__).parent, Path(__file__).parents[1])
    return not file.startswith("<") and not any(root in Path(file).parents for root in roots)


def inline(module: GraphModule) -> None:
    """Put what a wrapped block computes in the block's place, and what it gives in place of the items read from it."""
    for node in list(module.graph.nodes):
        if node.target not in WRAPPERS:
            continue
        place = next(i for i, each in enumerate(node.args) if isinstance(each, Node))
        holder = node.args[place]
        block = operator.attrgetter(str(holder.target))(module)
        inline(block)
        given = dict(zip([n for n in block.graph.nodes if n.op == "placeholder"], node.args[place + 1 :], strict=True))
        with module.graph.inserting_before(node):
            results = dict(enumerate(tree_leaves(module.graph.graph_copy(block.graph, given))))
        for item in list(node.users):
            item.replace_all_uses_with(results[item.args[1]])
            module.graph.erase_node(item)
        module.graph.erase_node(node)
        if not holder.users:
            module.graph.erase_node(holder)


def in_float32(module: GraphModule) -> None:
    """Turn every floating type that the graph names or holds to float32, and take out the casts that change nothing then."""
    own = {node: type_of(node) for node in module.graph.nodes}
    for node in list(module.graph.nodes):
        if node.target in CHECKS:
            module.graph.erase_node(node)
            continue
        if own[node] in FLOATS:
            node.meta["val"] = node.meta["val"].to(torch.float32)
        node.args, node.kwargs = map_aggregate(node.args, single), map_aggregate(node.kwargs, single)
        if node.target in CASTS and type_of(node) == type_of(node.all_input_nodes[0]):
            copies = own[node] != own[node.all_input_nodes[0]] and any(is_write(reader) for reader in node.users)
            drop_cast(module, node, copies)
    module.to(torch.float32)
    module.graph.eliminate_dead_code()
    module.recompile()


def drop_cast(module: GraphModule, cast: Node, copies: bool) -> None:
    """Let the readers of a cast read what was cast, or a copy of it where they write to it."""
    source = cast.all_input_nodes[0]
    if copies:
        with module.graph.inserting_before(cast):
            source = module.graph.call_function(aten.clone.default, (source,))
        source.meta = cast.meta
    cast.replace_all_uses_with(source)
    module.graph.erase_node(cast)


def is_write(node: Node) -> bool:
    """Whether an operator writes into what it reads."""
    return isinstance(node.target, OpOverload) and node.target._schema.is_mutable


def single(argument: Any) -> Any:
    """float32 for any floating type; anything else as it is."""
    return torch.float32 if argument in FLOATS and isinstance(argument, torch.dtype) else argument


class Unproven(Exception):
    """No proof can be made for a network; the text says why."""


def check_provable(program: GraphModule) -> None:
    """
    Raises:
        Unproven: the program computes with complex numbers, has sizes that follow from values, or chooses its way by values.
    """
    for node in program.graph.nodes:
        values = tree_leaves(node.meta.get("val"))
        if isinstance(node.target, HigherOrderOperator):
            raise Unproven(f"it chooses its way by values ({named(node)})")
        if any(isinstance(each, Tensor) and each.is_complex() for each in values):
            raise Unproven(f"it computes with complex numbers ({named(node)})")
        sizes = [size for each in values for size in (each.shape if isinstance(each, Tensor) else [each])]
        if any(isinstance(size, (torch.SymInt, torch.SymFloat, torch.SymBool)) for size in sizes):
            raise Unproven(f"its sizes depend on values ({named(node)})")


def check_steady(graph: Graph, expected: Sequence[Tensor], probe: Sequence[Tensor]) -> None:
    """
    Raises:
        Unproven: an operator draws random numbers, and another run gives other outputs.
    """
    random = next((node for node in graph.module.graph.nodes if is_random(node)), None)
    if random is not None and relative_difference(expected, graph.outputs(probe)) != 0:
        raise Unproven(f"it draws random numbers ({named(random)})")


def is_random(node: Node) -> bool:
    """Whether an operator draws random numbers; dropout does not where nothing is trained."""
    if not isinstance(node.target, OpOverload) or torch.Tag.nondeterministic_seeded not in node.target.tags:
        return False
    given = dict(zip([each.name for each in node.target._schema.arguments], arguments(node), strict=True))
    return given.get("train") is not False and given.get("dropout_p") != 0


def check_values(graph: Graph, expected: Sequence[Tensor]) -> None:
    """
    Raises:
        RequestError: an output holds no finite value, or NaN because weights do; names these.
    """
    held = next((name for name, value in graph.module.state_dict().items() if bool(value.isnan().any())), None)
    if all(bool(value.isfinite().any()) and not (held and bool(value.isnan().any())) for value in expected):
        return
    weights = f"{held} holds NaN" if held else "look at its weights"
    raise RequestError(f"the network returns NaN or infinity on an ordinary input; {weights}")


def named(node: Node) -> str:
    """``rfft2 in body.block``: an operator, and the path of the user's module that calls it."""
    path = layer_of(node)
    return f"{name_of(node)} in {path}" if path else name_of(node)
