"""Which of a checkpoint's tensors are a network's: what is before names is taken off where the rest then fits, never else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from torch import Size, Tensor, nn

from onenet.base.text import one_line
from onenet.errors import RequestError
from onenet.models.checkpoint import WRAPPERS, read_checkpoint

COUNTER = "num_batches_tracked"
COUNTERS = (COUNTER, "n_averaged")
"""Numbers that count training steps: nothing that a network computes with."""
COMPILED = "_orig_mod."
"""What ``torch.compile`` puts into names, wherever it was called."""
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged|avg)([._]|$)")
"""In what stands before an averaged copy of the weights."""
ROWS = 12
"""Names of each side that a mismatch lists."""
COLUMN = 38
"""Characters of a name there: two of them on a line of 80."""


@dataclass(frozen=True)
class View:
    """One way to read a checkpoint."""

    prefix: str
    """What is taken off, such as ``model._orig_mod.``."""
    state: dict[str, Tensor]
    """What is under it, by the rest of the names."""
    rest: tuple[str, ...] = ()
    """Names of what is not."""


def load_weights(module: nn.Module, path: Path, ema: bool = False) -> tuple[str, ...]:
    """Load a checkpoint file into a module.

    Args:
        module: takes the weights.
        path: what ``read_state`` reads.
        ema: take averaged weights, and nothing else.

    Returns:
        What of the file was left out, lines for the user.

    Raises:
        RequestError: the file cannot be read, holds another network's tensors, several copies of this one's, or no averaged
            ones although they were asked for.
    """
    where = f"weights {path.name}"
    state, averaged = read_checkpoint(path, ema)
    view = fitted(module, state, where, ema and not averaged)
    load_into(module, view.state, where)
    left = [key for key in view.rest if not key.endswith(COUNTERS)]
    if not left:
        return ()
    names = one_line(", ".join(left[:3])) + (", ..." if left[3:] else "")
    return (f"{where}: {len(view.state)} tensors under {view.prefix!r} are taken, {len(left)} others are not ({names})",)


def fitted(module: nn.Module, state: Mapping[str, Tensor], where: str, ema: bool = False) -> View:
    """The view of a checkpoint that fits a module; where none does, the one that fits most of it.

    Args:
        module: the network.
        state: tensors by the file's names.
        where: the file, for messages.
        ema: it must be an averaged copy.

    Raises:
        RequestError: several fit, or none that is averaged where it was asked for.
    """
    needed = {key: value.shape for key, value in module.state_dict().items() if not key.endswith(COUNTERS)}
    seen = list(views(state, needed))
    fits = distinct([view for view in seen if matching(view, needed) == len(needed)], needed)
    averaged = [view for view in fits if AVERAGED.search(view.prefix)]
    plain = [view for view in fits if view not in averaged]
    if ema and not averaged:
        raise RequestError(f"--ema asks for averaged weights, and {where} hold none that fit; leave --ema out")
    found = averaged if ema else plain or averaged
    usual = [view for view in found if set(view.prefix.split(".")) <= {*WRAPPERS, ""}]
    found = sorted(usual or found, key=lambda view: len(view.prefix))[: 1 if usual else None]
    if len(found) > 1:
        names = " and ".join(sorted(repr(view.prefix) for view in found[:3]))
        raise RequestError(f"{where} hold the network several times, under {names}; save the one that you mean alone")
    if found:
        return without_copies(found[0], [view.prefix for view in fits])
    return max(seen, key=lambda view: matching(view, needed), default=View("", dict(state)))


def views(state: Mapping[str, Tensor], needed: Mapping[str, Size]) -> Iterator[View]:
    """Every way to read a checkpoint so that the network's first name is in it."""
    yield View("", dict(state))
    outer = wrapper_of(needed)
    for names in (state, {key.replace(COMPILED, ""): value for key, value in state.items()}):
        for added in dict.fromkeys(("", outer)):
            first = next(iter(needed), "").removeprefix(added)
            for prefix in [key[: len(key) - len(first)] for key in names if first and f".{key}".endswith(f".{first}")]:
                inside = {added + key[len(prefix) :]: value for key, value in names.items() if key.startswith(prefix)}
                yield View(prefix, inside, tuple(key for key in names if not key.startswith(prefix)))


def distinct(found: Sequence[View], needed: Mapping[str, Size]) -> list[View]:
    """The first of all views of the same tensors."""
    first = next(iter(needed), "")
    return list({id(view.state.get(first)): view for view in reversed(found)}.values())


def wrapper_of(names: Mapping[str, object]) -> str:
    """What stands before all of a network's own names, of ``WRAPPERS``: its factory returns a training class."""
    heads = {key.partition(".")[0] for key in names}
    return f"{heads.pop()}." if len(heads) == 1 and heads <= set(WRAPPERS) else ""


def matching(view: View, needed: Mapping[str, Size]) -> int:
    """How many of the tensors that a network needs a view has, in their shapes."""
    return sum(key in view.state and view.state[key].shape == shape for key, shape in needed.items())


def without_copies(view: View, prefixes: Sequence[str]) -> View:
    """A view without the further copies of the network in it, such as averaged ones beside those without a prefix."""
    others = tuple(prefix.removeprefix(view.prefix) for prefix in prefixes if prefix != view.prefix and prefix)
    copies = [key for key in view.state if key.startswith(others)] if others else []
    kept = {key: value for key, value in view.state.items() if key not in copies}
    return replace(view, state=kept, rest=(*view.rest, *(view.prefix + key for key in copies)))


def load_into(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load a state dict strictly; step counters may be missing or too many.

    Raises:
        RequestError: names the first key that differs, with the shape expected and the shape found; ``details`` lists the keys
            of both sides.
    """
    own = {key: value.shape for key, value in module.state_dict().items()}
    missing = [key for key in own if key not in state and not key.endswith(COUNTERS)]
    unlike = [key for key in own if key in state and state[key].shape != own[key]]
    unexpected = [key for key in state if key not in own and not key.endswith(COUNTERS)]
    wrong = {*missing, *unlike}
    first = next((key for key in own if key in wrong), None)
    if first is not None:
        found = tuple(state[first].shape) if first in state else "no such key"
        said = f"{first} is expected with shape {tuple(own[first])}, found {found}"
    elif unexpected:
        said = f"it holds {unexpected[0]}, which this model does not have"
    else:
        module.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)
        return
    count = f"{len(missing)} names missing, {len(unlike)} of another shape, {len(unexpected)} unknown"
    details = beside(
        [f"{key} {shape(own[key])}" for key in (*unlike, *missing)],
        [f"{key} {shape(state[key].shape)}" for key in (*unlike, *unexpected)],
    )
    raise RequestError(f"{where} does not fit: {said} ({count})", details)


def shape(size: Size) -> str:
    """``64x3x7x7``; ``number`` where there are no axes."""
    return "x".join(map(str, size)) or "number"


def beside(network: Sequence[str], file: Sequence[str]) -> tuple[str, ...]:
    """Two columns: what the network needs, and what the file has instead."""
    rows = [("the network needs", "the file has"), *zip_longest(network[:ROWS], file[:ROWS], fillvalue="")]
    if len(network) > ROWS or len(file) > ROWS:
        rows.append((more(network), more(file)))
    return tuple(f"{shortened(left):<{COLUMN}}  {shortened(right)}".rstrip() for left, right in rows)


def more(names: Sequence[str]) -> str:
    """``and 5 more`` than are listed; empty where all are."""
    return f"and {len(names) - ROWS} more" if len(names) > ROWS else ""


def shortened(name: str) -> str:
    """A name that fits into a column: its end says most."""
    name = one_line(name) if name else ""
    return name if len(name) <= COLUMN else "..." + name[3 - COLUMN :]
