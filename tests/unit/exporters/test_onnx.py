"""What is changed in a graph after its conversion: the same numbers, other types. Whole artifacts: ``tests/export``."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from onenet.exporters.onnx import (
    free_name,
    normalise,
    shifted_zero_point,
    with_int8_ends,
    with_integer_constants,
    with_uint8_inside,
)


@pytest.fixture
def model() -> onnx.ModelProto:
    """x -> quantize -> dequantize -> Relu -> quantize -> dequantize -> y, scale 0.5, zero point 3."""
    constants = [numpy_helper.from_array(np.float32(0.5), "scale"), numpy_helper.from_array(np.int8(3), "zero")]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], doc_string="File /home/user/net.py, line 3"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("Relu", ["d"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "scale", "zero"], ["p"]),
        helper.make_node("DequantizeLinear", ["p", "scale", "zero"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
    inner = [helper.make_tensor_value_info("q", TensorProto.INT8, [4])]
    graph = helper.make_graph(nodes, "main_graph", ends[:1], ends[1:], constants, value_info=inner)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def output(model: onnx.ModelProto, values: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model)
    result = ReferenceEvaluator(model).run(None, {"x": values})[0]
    return np.asarray(result)


VALUES = np.array([-70.0, -1.0, 0.6, 70.0], np.float32)
"""Beyond int8 at both ends, and between two steps."""


def test_uint8_inside_is_the_same_function(model: onnx.ModelProto) -> None:
    before = output(model, VALUES)
    with_uint8_inside(model)
    assert np.array_equal(output(model, VALUES), before)
    zero_points = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer if each.name != "scale"}
    assert {name: (value.dtype, int(value)) for name, value in zero_points.items()} == {"zero_uint8": (np.uint8, 131)}
    assert model.graph.value_info[0].type.tensor_type.elem_type == TensorProto.UINT8


def with_constant(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same, with a constant behind its own quantize operator added at the end."""
    graph = model.graph
    graph.node[-1].output[0] = "e"
    graph.initializer.append(numpy_helper.from_array(np.array([-99.0, 0.75, 1.25, 99.0], np.float32), "c"))
    graph.node.extend(
        [
            helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["cq"]),
            helper.make_node("DequantizeLinear", ["cq", "scale", "zero"], ["cd"]),
            helper.make_node("Add", ["e", "cd"], ["y"]),
        ]
    )
    return model


def test_a_quantized_constant_is_stored_in_integers(model: onnx.ModelProto) -> None:
    before = output(with_constant(model), VALUES)
    with_integer_constants(model)
    assert np.array_equal(output(model, VALUES), before)
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    assert stored["cq"].tolist() == [-128, 5, 5, 127] and "c" not in stored  # 1.5 and 2.5 steps round to 2
    with_uint8_inside(model)
    assert np.array_equal(output(model, VALUES), before)
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    assert stored["cq"].tolist() == [0, 133, 133, 255] and stored["cq"].dtype == np.uint8


@pytest.mark.parametrize(
    ("wanted", "old", "name"),
    [("relu", "relu", "relu"), ("mean", "mean_1", "mean.mean_1"), ("add", "add", "add.float"), ("sub", "val", "sub.val.2")],
)
def test_every_value_has_a_name_of_its_own(wanted: str, old: str, name: str) -> None:
    assert free_name(wanted, old, {"mean", "add", "sub", "sub.val"}) == name


def test_int8_ends_hold_the_float_ends_values(model: onnx.ModelProto) -> None:
    before = output(model, VALUES)
    with_int8_ends(model)
    ends = [*model.graph.input, *model.graph.output]
    assert [(each.name, each.type.tensor_type.elem_type) for each in ends] == [("x", TensorProto.INT8), ("y", TensorProto.INT8)]
    stored = np.clip(np.rint(VALUES / 0.5) + 3, -128, 127).astype(np.int8)
    integers = output(model, stored)
    assert integers.dtype == np.int8
    assert np.array_equal((integers.astype(np.float32) - 3) * 0.5, before)


def test_a_zero_point_is_added_once(model: onnx.ModelProto) -> None:
    names = [shifted_zero_point(model.graph, "zero", TensorProto.UINT8) for _ in range(2)]
    assert names == ["zero_uint8"] * 2
    assert [each.name for each in model.graph.initializer].count("zero_uint8") == 1
    assert shifted_zero_point(model.graph, "zero", TensorProto.INT8) == "zero"


def test_where_a_file_was_made_is_taken_out(model: onnx.ModelProto) -> None:
    helper.set_model_props(model, {"host": "here"})
    normalise(model, "net")
    text = model.SerializeToString()
    assert b"/home/user" not in text and b"host" not in text
    assert model.graph.name == "net"


def test_onnxruntime_keeps_the_scale_of_a_softmax_that_another_follows() -> None:
    scales = {"a": 0.05, "b": 1 / 256, "c": 1 / 600}
    constants = [numpy_helper.from_array(np.float32(value), name) for name, value in scales.items()]
    constants.append(numpy_helper.from_array(np.int8(-128), "zero"))
    nodes, value = [], "x"
    for name in scales:
        nodes.append(helper.make_node("QuantizeLinear", [value, name, "zero"], [f"q{name}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"q{name}", name, "zero"], ["y" if name == "c" else f"d{name}"]))
        value = nodes[-1].output[0]
        if name == "a":
            nodes.append(helper.make_node("Softmax", [value], ["p"], axis=1))
            value = "p"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8]) for name in "xy"]
    made = helper.make_model(
        helper.make_graph(nodes, "main_graph", ends[:1], ends[1:], constants),
        opset_imports=[helper.make_opsetid("", 19)],
        ir_version=9,
    )
    with_uint8_inside(made)
    values = np.random.default_rng(0).random((1, 4, 8), np.float32) * 10
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": values})[0]
    assert np.abs(found - output(made, values)).max() < 3 / 256
    assert float(found.max()) == pytest.approx(255 / 600)  # it saturates
