"""Which networks run in tiles, in which tiles, and that tiles give the whole image's result."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.base.quiet import quiet
from onenet.base.tiles import Span, Tiling, make_grid, run_tiled, spans
from onenet.calibration.recipe import INT8
from onenet.errors import RequestError
from onenet.lowering.tiling import derive, tile
from onenet.model import Model
from onenet.models.build import build
from onenet.spec import ModelSpec, TensorSpec
from tests.conftest import awkward_onenet, smooth_images

SIZE = (96, 80)


def onenet_of(variant: str, **options: object) -> Model:
    return build(awkward_onenet(variant, **options), input_size=SIZE)


def plain(*layers: nn.Module, size: tuple[int, int] = (48, 64)) -> Model:
    torch.manual_seed(0)
    return build(nn.Sequential(*layers), input_size=size)


def whole_and_tiled(model: Model, side: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The network on an image of ``size``, whole (its edges repeated up to the patch) and in tiles; (K, H, W) float64."""
    pieces = tile(model, side)
    assert pieces.tiling is not None
    _, channels, *shape = pieces.spec.inputs[0].shape
    image = smooth_images(1, channels, *size).astype(np.float64)
    patch = pieces.tiling.patch
    padded = np.pad(image, [(0, 0), (0, 0), *((0, -length % patch) for length in size)], mode="edge")
    network = model.module.double()

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(batch)).numpy()

    grid = make_grid(size, (shape[0], shape[1]), pieces.tiling)
    return run(padded)[0, :, : size[0], : size[1]], run_tiled(run, image, grid)[0]


# --- what is found --------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "patch", "halo"),
    [
        (dict(variant="ed"), 8, (0, 0)),
        (dict(variant="ed", layers=2), 4, (0, 0)),
        # Two 3x3 convolutions at 1/4 and 1/2 of the resolution, three at full: 8 + 4 + 3 pixels beyond the patch.
        (dict(variant="e"), 8, (16, 16)),
        (dict(variant="e", layers=1), 2, (4, 4)),
    ],
)
def test_onenet_without_spatial_convolution(options: dict[str, object], patch: int, halo: tuple[int, int]) -> None:
    assert derive(onenet_of(**options)) == Tiling(patch, halo)  # type: ignore[arg-type]  # a variant and options


@pytest.mark.parametrize("variant", ["ed", "e"])
def test_a_spatial_convolution_ties_the_ends_of_rows_together(variant: str) -> None:
    found = derive(onenet_of(variant, kernel=9))
    assert found.refused is None
    rows, columns = found.halo
    assert columns is None
    assert rows is not None and rows >= found.patch == 8


def test_random_weights_whose_signal_dies_are_told_apart_all_the_same() -> None:
    model = build("onenet-ed4", width=8, kernel=9, random_weights=True, input_size=(64, 64))
    assert derive(model) == Tiling(16, (16, None))


@pytest.mark.parametrize("output", ["probabilities", "labels"])
def test_the_output_changes_nothing(output: str) -> None:
    assert derive(build(awkward_onenet("e"), input_size=SIZE, output=output)) == Tiling(8, (16, 16))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layers", "patch", "halo"),
    [
        ([nn.Conv2d(3, 4, 1)], 1, (0, 0)),
        # The receptive field of stacked convolutions: the sum of dilation * (kernel - 1) / 2.
        ([nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=2, dilation=2)], 1, (3, 3)),
        ([nn.Conv2d(3, 4, (5, 1), padding=(2, 0)), nn.ReLU(), nn.Conv2d(4, 4, (3, 7), padding=(1, 3))], 1, (3, 3)),
        ([nn.Conv2d(3, 4, (7, 1), padding=(3, 0))], 1, (3, 0)),
        ([nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")], 1, (1, 1)),
        # Output pixels 2m to 2m+3 depend on the input pixels 2m and 2m+1.
        ([nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Upsample(scale_factor=2)], 2, (2, 2)),
        ([nn.MaxPool2d(4), nn.Conv2d(3, 2, 1), nn.Upsample(scale_factor=4)], 4, (0, 0)),
        ([nn.Conv2d(3, 4, 41, padding=20)], 1, (20, 20)),  # needs a larger probe than the model's own 48 rows
    ],
)
def test_a_foreign_network_s_receptive_field(layers: list[nn.Module], patch: int, halo: tuple[int, int]) -> None:
    assert derive(plain(*layers)) == Tiling(patch, halo)


class Squeeze(nn.Module):
    """Squeeze and excitation: every pixel is scaled by means over the image."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class Position(nn.Module):
    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.rand(1, 3, height, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Ramp(nn.Module):
    """CoordConv: knows where it is at any size."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[-1], dtype=x.dtype) * torch.arange(x.shape[-2], dtype=x.dtype)[:, None]


class Checkered(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(F.adaptive_avg_pool2d(x, (4, 4)), size=x.shape[-2:])


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (Squeeze(), "depends on the whole image, along rows and columns (seen on 48x64)"),
        (nn.InstanceNorm2d(3), "depends on the whole image"),
        (Position(48, 64), "depends on where in the image it is"),
        (Ramp(), "depends on where in the image it is"),
        (Checkered(), "change the result by"),
        (nn.Conv2d(3, 4, 3, stride=2, padding=1), "its output (1, 4, 24, 32) does not have the image's height and width"),
        (nn.Sequential(nn.Flatten(), nn.Linear(9216, 4)), "its output (1, 4) does not have"),
    ],
)
def test_networks_without_exact_tiles(module: nn.Module, says: str) -> None:
    model = build(module, input_size=(48, 64))
    found = derive(model).refused
    assert found is not None and says in found and "\n" not in found
    with pytest.raises(RequestError, match=f"{model.spec.name} cannot run in tiles: "):
        tile(model, 16)


def test_two_images_are_refused() -> None:
    class Difference(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a - b

    a, b, c = (TensorSpec(name, "image", (1, 3, 8, 8), "NCHW") for name in "abc")
    found = derive(Model(ModelSpec("difference", "other", (a, b), (c,)), Difference()))
    assert found.refused == "tiles need one image in and one mask out; it has 2 inputs and 1 outputs"


def test_lowering_says_what_tiles_there_are() -> None:
    with quiet():
        assert onenet.lower(onenet_of("e")).tiling == Tiling(8, (16, 16))
        refused = onenet.lower(build(Squeeze(), input_size=(16, 16))).tiling
    assert refused is not None and refused.refused is not None


# --- tiles give the whole image's result ----------------------------------


@pytest.mark.parametrize("size", [(96, 80), (33, 70), (64, 32), (32, 31), (9, 100), (5, 3)])
def test_a_network_of_patches_on_any_size(size: tuple[int, int]) -> None:
    whole, tiled = whole_and_tiled(onenet_of("ed"), 32, size)
    assert np.abs(whole - tiled).max() <= 1e-12 * np.abs(whole).max()


@pytest.mark.parametrize(("side", "size"), [(40, (96, 80)), (48, (61, 109)), (64, (64, 72)), (80, (203, 80))])
def test_a_network_with_a_halo_everywhere_and_at_the_borders(side: int, size: tuple[int, int]) -> None:
    whole, tiled = whole_and_tiled(onenet_of("e"), side, size)
    assert np.abs(whole - tiled).max() <= 1e-12 * np.abs(whole).max()


@pytest.mark.parametrize("variant", ["ed", "e"])
def test_strips_of_a_network_with_spatial_convolution(variant: str) -> None:
    model = onenet_of(variant, kernel=3)
    whole, tiled = whole_and_tiled(model, 72, (200, 80))
    assert np.abs(whole - tiled).max() <= 1e-12 * np.abs(whole).max()
    with pytest.raises(RequestError, match=r"the image is 200x88, the tile 72x80: .* the widths must be equal"):
        make_grid((200, 88), (72, 80), derive(model))


def test_a_halo_one_patch_smaller_is_not_enough() -> None:
    model = onenet_of("e")
    image = smooth_images(1, 3, *SIZE).astype(np.float64)
    network = model.module.double()

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(batch)).numpy()

    tiled = run_tiled(run, image, make_grid(SIZE, (40, 40), Tiling(8, (8, 8))))
    assert np.abs(run(image) - tiled).max() > 1e-6


def test_int8_scales_of_tiles_are_those_of_whole_images() -> None:
    samples = list(smooth_images(4, 3, *SIZE))
    model = onenet_of("ed")
    with quiet():
        extremes = dataclasses.replace(INT8, estimator="min-max", bias_correction=False)
        whole = onenet.calibrate(onenet.lower(model), samples, recipe=extremes)
        tiles = onenet.calibrate(onenet.lower(tile(model, 32)), samples, recipe=extremes)
    assert tiles.spec.inputs[0].shape == (1, 3, 32, 32)
    assert tiles.record.sample_ids == whole.record.sample_ids
    assert list(tiles.record.sites) == list(whole.record.sites)
    for name, site in whole.record.sites.items():
        assert tiles.record.sites[name].scale == pytest.approx(site.scale, rel=1e-5), name
        assert tiles.record.sites[name].zero_point == site.zero_point, name


def test_calibration_images_of_a_third_size_are_refused() -> None:
    with quiet():
        model = onenet.lower(tile(onenet_of("ed"), 32))
    with pytest.raises(RequestError, match=r"samples are float32 \(3, 64, 64\), the model takes floats \(3, 96, 80\)"):
        onenet.calibrate(model, list(smooth_images(1, 3, 64, 64)))


# --- tiles that cannot be -------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "side", "says"),
    [
        ("ed", 0, "a tile of 0 rows is no multiple of 8, the network's patch; nearest: 8"),
        ("ed", -16, "a tile of -16 rows is no multiple of 8"),
        ("ed", 30, "a tile of 30 rows is no multiple of 8, the network's patch; nearest: 32"),
        ("ed", 88, "a tile of 88x88 is larger than the image of 96x80; give a tile of 8 to 80, or --input-size H W"),
        ("e", 32, "a tile of 32 rows is too small: 16 on either side depend on the image outside it; smallest: 40"),
    ],
)
def test_sides_that_are_refused(variant: str, side: int, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        tile(onenet_of(variant), side)
    assert says in str(caught.value)


def test_a_lowered_model_is_not_cut() -> None:
    with quiet():
        lowered = onenet.lower(onenet_of("ed"))
    with pytest.raises(RequestError, match="tiles are cut before lowering"):
        tile(lowered, 32)


def test_an_image_smaller_than_a_tile_with_a_halo_is_refused() -> None:
    tiling = Tiling(8, (16, 16))
    with pytest.raises(RequestError, match=r"the image is 50x90, smaller than the tile 64x64, .* Export with --tile 40 to 56"):
        make_grid((50, 90), (64, 64), tiling)
    with pytest.raises(RequestError, match="The smallest tile is 40"):
        make_grid((90, 30), (64, 64), tiling)


def test_no_tiles_without_a_tiling_but_for_an_image_of_the_tile_s_size() -> None:
    assert len(make_grid((30, 20), (30, 20), None)) == 1
    assert len(make_grid((30, 20), (30, 20), Tiling(refused="it has a mean"))) == 1
    with pytest.raises(RequestError, match="no exact tiles: the artifact says nothing of tiles"):
        make_grid((30, 21), (30, 20), None)
    with pytest.raises(RequestError, match="no exact tiles: it has a mean"):
        make_grid((30, 21), (30, 20), Tiling(refused="it has a mean"))


# --- the arithmetic of tiles ----------------------------------------------


@pytest.mark.parametrize(("patch", "halo", "side"), [(1, 0, 1), (1, 3, 7), (4, 0, 12), (4, 8, 20), (4, 8, 36), (16, 32, 80)])
def test_every_pixel_is_taken_once_from_where_it_counts(patch: int, halo: int, side: int) -> None:
    for size in (*range(1, 90), 257):
        length = -(-size // patch) * patch
        if halo and length < side:
            continue
        found = spans((size, size), (side, side), Tiling(patch, (halo, halo)), 0)
        assert [span.first for span in found] == [0, *(span.last for span in found[:-1])]
        assert found[-1].last == length
        for span in found:
            assert span.start % patch == 0
            assert span.first >= span.start + (halo if span.start else 0)
            end = span.start + side
            assert span.last <= (end - halo if end < length else end)
            assert span.start >= 0 and (end <= length or len(found) == 1)


def test_cut_repeats_the_edge_and_paste_leaves_it_out() -> None:
    grid = make_grid((3, 5), (4, 4), Tiling(2, (0, 0)))
    assert (grid.rows, grid.columns) == ((Span(0, 0, 4),), (Span(0, 0, 4), Span(2, 4, 6)))
    image = np.arange(15).reshape(3, 5)
    last = grid.cut(image, grid.rows[0], grid.columns[1])
    assert last.tolist() == [[2, 3, 4, 4], [7, 8, 9, 9], [12, 13, 14, 14], [12, 13, 14, 14]]
    result = np.full((3, 5), -1)
    for place in grid:
        grid.paste(result, *place, grid.cut(image, *place))
    assert result.tolist() == image.tolist()


def test_a_tiling_survives_the_manifest() -> None:
    for halo, image_size, refused in itertools.product([(0, 0), (16, None)], [None, (96, 80)], [None, "it has a mean"]):
        tiling = Tiling(8, halo, refused, image_size)
        found = Tiling.from_dict(tiling.as_dict())
        assert found == (tiling if refused is None else Tiling(refused=refused))
