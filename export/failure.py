"""A failed export in the words of the user's network: at which operator, in which layer, why, and what to try.

Converters raise anything. At which operator they were is found in three ways: in the stack of the error, where their own loops
hold the node in a variable; in its text and in what was printed, where these quote an operator's name; and by the number that a
runtime gives an operator of the file (``Exporter.named_in``).
"""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.fx import Node

from onenet.base.quiet import last_lines, quiet
from onenet.base.text import one_line, without_style
from onenet.errors import CheckError, ConversionError, OneNetError, RequestError
from onenet.exporters.exporter import exporter_of
from onenet.exporters.job import Job
from onenet.exporters.layers import named_module
from onenet.lowering.graph import layer_of, name_of
from onenet.lowering.operators import WEIGHTED
from onenet.targets import TARGETS

VARIABLES = ("node", "n")
"""What loops over nodes call a node: torch.onnx's, coremltools' and, in litert-torch, that of torch.fx's interpreter."""
QUOTED = re.compile(r"""["'%](\w+)|\bnode_(\w+)""")
"""How texts name an operator: ``"conv2d_3;"`` (MLIR), ``%conv2d_3 :`` (torch.fx), ``node_conv2d_3`` (onnxruntime)."""


@dataclass(frozen=True)
class Culprit:
    """The operator at which an export failed."""

    operator: str
    """As torch names it: ``asinh``."""
    layer: str
    """Path of its module in the user's network; empty for the network itself."""
    name: str = ""
    """In the artifact and in recipes, where it is a layer that a recipe can keep in float."""

    @property
    def text(self) -> str:
        """``asinh in layer blocks.0.act``."""
        return f"{self.operator} in layer {self.layer}" if self.layer else f"{self.operator} in the network's own forward"


@contextlib.contextmanager
def explained(job: Job, doing: str, path: Path | None = None, float_works: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Turn whatever is raised inside into one line for the user.

    Args:
        job: what is made.
        doing: what is done to it: "converting".
        path: of the artifact, where there is one already.
        float_works: whether the same can be done in float; asked of int8 only, where another precision would be tried.

    Raises:
        ConversionError: in place of any error that has no meaning of its own; names the operator and the layer where they are
            known. So does one of ours, where an operator can be added to it.
    """
    try:
        yield
    except (CheckError, RequestError, OSError):
        raise
    except Exception as error:
        culprit = culprit_of(error, job, path)
        forget_frames(error)
        if culprit is None and isinstance(error, OneNetError):
            raise
        what = f"{doing} {job.model.spec.name} for {job.target} {job.precision}"
        precision = job.precision if job.precision == "int8" and float_works() else "fp32"
        raise conversion_error(error, what, tries_of(job.target, precision, culprit), culprit) from error


@contextlib.contextmanager
def explained_as(what: str, *tries: str) -> Iterator[None]:
    """``explained`` where there is no job yet, and so no operator.

    Args:
        what: is done: "calibrating NAME for int8".
        tries: what may work instead.

    Raises:
        ConversionError: in place of any error that has no meaning of its own.
    """
    try:
        yield
    except (OneNetError, OSError):
        raise
    except Exception as error:
        raise conversion_error(error, what, tries) from error


def conversion_error(error: Exception, what: str, tries: Sequence[str], culprit: Culprit | None = None) -> ConversionError:
    """The one line: what was done, where it failed, why, what to try."""
    where = f" at {culprit.text}" if culprit else ""
    text = f"{what} failed{where}: {reason_of(error)}; try {', '.join(tries)}"
    return ConversionError(text, culprit.operator if culprit else "", culprit.layer if culprit else "")


def tries_of(target: str, precision: str, culprit: Culprit | None = None) -> list[str]:
    """What may work instead of one target and precision."""
    cards, tries = TARGETS.cards(), []
    if precision == "int8":
        tries.append("-p w8 or -p fp16")
        if culprit and culprit.name:
            tries.append(f"a --recipe that keeps {culprit.name} in float")
    others = [f"-t {name}" for name, card in cards.items() if name != target and precision in card.precisions]
    tries.append(f"another target ({' or '.join(others)})")
    if culprit:
        tries.append(f"other operators in place of {culprit.operator}")
    return tries


def reason_of(error: BaseException) -> str:
    """The first paragraph of what an error was raised from in the first place, with its type where it is no error of ours."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else str(error)  # KeyError's is quoted
    said, kind = one_line(without_style(text).strip().partition("\n\n")[0]), type(error).__name__
    return kind if not text.strip() else said if isinstance(error, OneNetError) else f"{kind}: {said}"


def culprit_of(error: BaseException, job: Job, path: Path | None = None) -> Culprit | None:
    """The operator at which an export failed; None where nothing tells.

    Args:
        error: what was raised.
        job: what was to be made.
        path: of the artifact, where there is one already.
    """
    try:
        with quiet():
            module, theirs = named_module(job.program), exporter_of(job.target).layer_names(job.program)
    except Exception:  # it only explains another failure, which may be this one
        return None
    known = {node.name: node for node in module.graph.nodes if node.op == "call_function"}
    for candidate in candidates(error, job, path):
        node = known.get(theirs.get(candidate, candidate)) if isinstance(candidate, str) else named(candidate, known)
        if node is not None:
            return Culprit(name_of(node), layer_of(node), node.name if node.target in WEIGHTED else "")
    return None


def candidates(error: BaseException, job: Job, path: Path | None) -> Iterator[Node | str]:
    """Nodes of the converter's, and names, that may be the operator at which it failed; the likeliest first."""
    chain = chain_of(error)
    for each in chain:
        frames = [frame for frame, _ in traceback.walk_tb(each.__traceback__)]
        for frame in reversed(frames):
            held = [frame.f_locals[name] for name in VARIABLES if name in frame.f_locals]
            yield from (value if isinstance(value, Node) else str(getattr(value, "name", "")) for value in held)
    texts = ["\n".join(str(each) for each in chain), "\n".join(last_lines(error))]
    for text in texts:
        if path is not None:
            yield from exporter_of(job.target).named_in(path, text)
        yield from (first or second for first, second in QUOTED.findall(text))


def chain_of(error: BaseException) -> list[BaseException]:
    """An error and all that it was raised from or while, the first one first."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return found[::-1]


def forget_frames(error: BaseException) -> None:
    """Let go of what a converter's frames hold, networks and temporary folders: it would live as long as the error is kept."""
    with quiet():  # a folder that nobody removed is warned of
        for each in chain_of(error):
            traceback.clear_frames(each.__traceback__)
            # Before Python 3.13, f_locals is a copy that the frame keeps; reading it again empties that, too.
            for frame, _ in traceback.walk_tb(each.__traceback__):
                len(frame.f_locals)


def named(node: Node, known: dict[str, Node]) -> Node | None:
    """What the converter's node was in the program that it read, before passes of its own; None where that is not known."""
    # The TFLite exporter writes names of operators where torch keeps the types of modules, which have dots in their names.
    labels = [kind for _, kind in node.meta.get("nn_module_stack", {}).values()]
    origins = [each.name for each in reversed(node.meta.get("from_node", []))]
    return next((known[name] for name in (*labels, *origins, node.name) if name in known), None)
