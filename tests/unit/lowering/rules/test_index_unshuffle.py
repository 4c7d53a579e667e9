"""A sequence that is indexed in the order of an image's patches, and ones that are indexed in other orders."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from onenet.lowering.constants import fold_constants
from onenet.models.unshuffle import pixel_unshuffle_1d
from tests.unit.lowering.graphs import Function, Trial, graph_of, run_on


def tried(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Trial:
    """The rule on a function behind a ReLU, its constants folded as they are before every rule."""
    inputs = [torch.zeros(shape)]
    graph = graph_of(Function(lambda x: function(x.relu())), inputs)
    fold_constants(graph)
    return run_on(graph, "index_unshuffle", inputs)


def patches(height: int, width: int, factor: int) -> Tensor:
    places = torch.arange(height * width).reshape(height // factor, factor, width // factor, factor)
    return places.transpose(1, 2).flatten()


UNSHUFFLES: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "algorithm 1": (lambda x: pixel_unshuffle_1d(x, 4, 6), (2, 3, 24)),
    "as high as wide": (lambda x: x[:, :, patches(4, 4, 2)], (1, 2, 16)),
    "one row of patches": (lambda x: x[..., patches(2, 6, 2)], (1, 2, 12)),
    "patches of 3x3": (lambda x: x[:, :, patches(6, 9, 3)], (1, 2, 54)),
    "index_select": (lambda x: x.index_select(-1, patches(4, 8, 2)), (2, 3, 32)),
}
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "column by column": lambda x: x[:, :, torch.arange(24).reshape(4, 6).T.flatten()],
    "patches from below": lambda x: x[:, :, patches(4, 6, 2).flip(0)],
    "as it was": lambda x: x[:, :, torch.arange(24)],
    "some places": lambda x: x[:, :, patches(2, 6, 2)],
    "two places changed": lambda x: x[:, :, patches(4, 6, 2)[[0, 2, 1, *range(3, 24)]]],
}
NO_MATCH: dict[str, Callable[[Tensor], Tensor]] = {
    "another axis": lambda x: x[:, torch.tensor([1, 0])],
    "places of two axes": lambda x: x[:, torch.tensor([1, 0]), torch.tensor([3, 5])],
}


@pytest.mark.parametrize("name", UNSHUFFLES)
def test_an_order_of_patches_is_an_unshuffle(name: str) -> None:
    function, shape = UNSHUFFLES[name]
    trial = tried(function, shape)
    assert trial.result.applied == 1
    assert trial.operators["pixel_unshuffle"] == 1 and not {"index", "index_select"} & set(trial.operators)


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_order_stays(name: str) -> None:
    assert tried(OTHERS[name], (1, 2, 24)).left("its order is not that of an image's patches")


@pytest.mark.parametrize("name", NO_MATCH)
def test_indices_of_other_axes_are_not_looked_at(name: str) -> None:
    assert tried(NO_MATCH[name], (1, 2, 24)).left()
