"""Comparing values layer by layer, and drawing what was found; no converter, no torch."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onenet.base.drawing import DIFFERS
from onenet.errors import RequestError
from onenet.runtimes.layers import (
    TOLERANCES,
    Difference,
    Layer,
    Profile,
    aligned,
    describe,
    difference,
    judge,
    side_by_side,
)
from onenet.runtimes.report.profile import REFERENCE, draw_profiles
from onenet.runtimes.session import LayerValue
from onenet.targets import TARGETS

GOOD = Difference(60.0, 1e-7, 0.001, 1.0, 1e-6)


def layer(name: str, *, db: float = 30.0, wrong: str | None = None, shape: tuple[int, ...] = (1, 4, 8, 8)) -> Layer:
    return Layer((name,), shape, GOOD, GOOD, db, db + 1, wrong)


def profile(target: str, *layers: Layer) -> Profile:
    return Profile(f"net_int8.{target}", target, "int8", {"name": "r", "version": "1", "kernels": "k"}, layers, (), ())


def test_a_difference_is_measured_in_steps_of_the_reference() -> None:
    reference = np.array([[-1.0, 0.0, 0.5, 2.0]], np.float32)
    found = np.array([[-1.0, 0.5, 0.5, 1.0]], np.float32)
    plain = difference(reference, found)
    assert (plain.relative, plain.mean_steps, plain.max_steps, plain.off_grid) == (0.5, None, None, None)
    assert plain.sqnr_db == pytest.approx(10 * np.log10(5.25 / 1.25))
    assert difference(reference, found, 0.5) == dataclasses.replace(plain, mean_steps=0.75, max_steps=2.0, off_grid=0.0)


def test_equal_values_differ_by_nothing() -> None:
    zeros = np.zeros((1, 2))
    assert difference(zeros, zeros, 0.1) == Difference(np.inf, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_wrong_under_every_tolerance(bad: float) -> None:
    values = np.ones((1, 3), np.float32)
    found = np.array([[1.0, bad, 1.0]], np.float32)
    assert judge(difference(values, found), TOLERANCES["fp32"], values.size)
    assert judge(difference(values, found), TOLERANCES["fp16"], values.size)
    assert judge(difference(values, found, 0.5), TOLERANCES["int8"], values.size)


@pytest.mark.parametrize(
    ("kind", "found", "text"),
    [
        ("int8", Difference(40.0, 0.1, 0.02, 1.0, 1e-5), None),
        ("int8", Difference(40.0, 0.1, 0.02, 2.0, 1e-5), "2 int8 steps off (1 allowed)"),
        ("int8", Difference(40.0, 0.1, 0.9, 1.0, 1e-5), "0.90 int8 steps off on average (0.1 allowed)"),
        ("int8", Difference(40.0, 0.1, 0.02, 0.6, 0.3), "its int8 steps are not the reference's: another scale"),
        ("fp32", Difference(130.0, 1e-6), None),
        ("fp32", Difference(130.0, 1e-4), "1.0e-04 of the largest value off (2e-05 allowed)"),
        ("fp16", Difference(60.0, 1e-3), None),
        ("fp16", Difference(45.0, 1e-3), "SQNR 45.0 dB (50 needed)"),
    ],
)
def test_a_broken_tolerance_is_named(kind: str, found: Difference, text: str | None) -> None:
    assert judge(found, TOLERANCES[kind], 1000) == text


def test_a_scale_that_is_a_little_off_is_seen_though_values_hardly_move() -> None:
    values = np.random.default_rng(0).normal(size=(1, 4, 16, 16)).astype(np.float32)
    steps = [LayerValue(np.clip(np.rint(values / s), -128, 127).astype(np.int8), s).floats() for s in (0.03, 0.0303)]
    found = difference(steps[0], steps[1], 0.03)
    assert found.max_steps is not None
    assert found.max_steps < 1.5
    assert judge(found, TOLERANCES["int8"], 1000) == "its int8 steps are not the reference's: another scale"


def test_stored_integers_become_values() -> None:
    np.testing.assert_array_equal(LayerValue(np.array([0, 3], np.uint8), 0.5, 1).floats(), np.array([-0.5, 1.0], np.float32))
    halves = LayerValue(np.array([1.5], np.float16)).floats()
    assert (halves.dtype, halves.tolist()) == (np.float32, [1.5])


@pytest.mark.parametrize(
    "order",
    [lambda v: v, lambda v: v.transpose(0, 2, 3, 1), lambda v: v[0], lambda v: v.transpose(0, 2, 3, 1)[:, None]],
    ids=["the same", "channels last", "without the batch", "one axis more"],
)
def test_values_are_brought_to_the_reference_s_axes(order: object) -> None:
    reference = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(aligned(order(reference), reference), reference)  # type: ignore[operator]


def test_where_both_orders_fit_the_nearer_is_meant() -> None:
    reference = np.random.default_rng(0).normal(size=(1, 5, 5, 5)).astype(np.float32)
    for found in (reference, reference.transpose(0, 2, 3, 1)):
        np.testing.assert_array_equal(aligned(found, reference), reference)


def test_other_sizes_are_not_compared() -> None:
    assert aligned(np.zeros((1, 3, 2, 4)), np.zeros((1, 2, 3, 4))) is None
    assert aligned(np.zeros(24), np.zeros((1, 2, 3, 4))) is None


def test_the_first_bad_layer_is_the_first_of_the_graph() -> None:
    found = profile("onnx", layer("conv2d"), layer("conv2d_1", wrong="2 steps off"), layer("conv2d_2", wrong="9 steps off"))
    assert found.first_bad_layer is found.layers[1]
    assert not found.passed
    assert describe(found) == "The first bad layer is conv2d_1: 2 steps off."
    assert describe(profile("onnx", layer("conv2d"))) == "All 1 layers are right on their own inputs."


def test_a_profile_is_json_whatever_its_values() -> None:
    odd = dataclasses.replace(layer("conv2d"), alone=Difference(np.inf, np.nan, 0.1, np.inf, 0.0))
    document = json.loads(json.dumps(profile("onnx", odd).as_dict(), allow_nan=False))
    assert document["layers"][0]["name"] == "conv2d"
    assert document["layers"][0]["alone"]["sqnr_db"] == 999.0
    assert document["first_bad_layer"] is None


def test_rows_keep_the_order_of_every_graph() -> None:
    first = profile("tflite", layer("conv2d"), layer("reshape"), layer("permute"), layer("cat"))
    second = profile("coreml", layer("conv2d"), layer("pixel_shuffle"), layer("cat"), layer("conv2d_1"))
    rows = side_by_side([first, second])
    names = [row.operators[0] for row in rows]
    assert [name for name in names if name in ("conv2d", "reshape", "permute", "cat")] == [
        "conv2d",
        "reshape",
        "permute",
        "cat",
    ]
    assert names.index("conv2d") < names.index("pixel_shuffle") < names.index("cat") < names.index("conv2d_1")
    assert [row.layers[1] is None for row in rows if row.operators[0] in ("reshape", "conv2d_1")] == [True, False]


def test_layers_of_one_name_and_different_size_are_different_layers() -> None:
    rows = side_by_side([profile("tflite", layer("conv2d")), profile("onnx", layer("conv2d", shape=(1, 8, 8, 8)))])
    assert [row.layers.count(None) for row in rows] == [1, 1]
    turned = side_by_side([profile("tflite", layer("conv2d")), profile("onnx", layer("conv2d", shape=(1, 8, 8, 4)))])
    assert [row.layers.count(None) for row in turned] == [0]


# --- the picture ----------------------------------------------------------


def colours_of(path: Path) -> set[str]:
    with Image.open(path) as picture:
        return {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in picture.convert("RGB").getcolors(1 << 24)}


def drawn(path: Path, *profiles: Profile) -> set[str]:
    pytest.importorskip("matplotlib")
    draw_profiles(path, profiles, "net, int8")
    return colours_of(path)


def three() -> list[Profile]:
    names = ["conv2d", "conv2d_1", "cat", "conv2d_2"]
    return [
        profile(target, *(layer(name, db=30.0 + 3 * i + k) for i, name in enumerate(names)))
        for k, target in enumerate(TARGETS.cards())
    ]


def test_a_picture_has_a_line_for_each_format_and_the_reference(tmp_path: Path) -> None:
    found = drawn(tmp_path / "a.png", *three())
    assert {card.colour for card in TARGETS.cards().values()} | {REFERENCE.colour} <= found
    assert DIFFERS not in found
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1376, 654)


def test_the_same_profiles_give_the_same_bytes(tmp_path: Path) -> None:
    drawn(tmp_path / "a.png", *three())
    drawn(tmp_path / "b.png", *three())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_first_bad_layer_is_marked(tmp_path: Path) -> None:
    bad = profile("onnx", layer("conv2d"), layer("conv2d_1", db=-3.0, wrong="9 steps off"))
    assert DIFFERS in drawn(tmp_path / "a.png", bad)


def test_equal_unknown_and_hundreds_of_layers_are_drawn(tmp_path: Path) -> None:
    layers = [layer(f"conv2d_{i}", db=np.inf if i % 7 else -np.inf) for i in range(300)]
    layers[5] = dataclasses.replace(layers[5], float_db=None, reference_float_db=None)
    assert TARGETS.cards()["tflite"].colour in drawn(tmp_path / "a.png", profile("tflite", *layers))


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no layer to draw"):
        draw_profiles(tmp_path / "a.png", [profile("onnx", layer("permute"))], "moves only")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "wrong", "passes"), [(4, 1, True), (4, 2, False), (1, 1, True), (100, 10, True), (100, 11, False)]
)
def test_one_value_of_few_may_be_rounded_the_other_way(values: int, wrong: int, passes: bool) -> None:
    steps = np.arange(values, dtype=np.float64)
    other = steps + (np.arange(values) < wrong)
    assert (judge(difference(steps, other, 1.0), TOLERANCES["int8"], values) is None) is passes
