"""The limit: how fast this machine multiplies matrices, by several libraries. Not a toolchain, and not a network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.peers import Loaded, Row

REQUIREMENTS: tuple[str, ...] = ()
ROWS = (
    Row("torch-fp32", "torch.mm", "fp32"),
    Row("onnxruntime-fp32", "onnxruntime MatMul", "fp32"),
    Row("litert-fp32", "LiteRT CONV_2D 1x1 (XNNPACK)", "fp32"),
    Row("torch-int8", "torch quantized linear", "int8"),
    Row("onnxruntime-int8", "onnxruntime MatMulInteger", "int8"),
    Row("litert-int8", "LiteRT CONV_2D 1x1 (XNNPACK)", "int8"),
)
SHAPES = ((1024, 1024, 1024), (4096, 512, 512), (16384, 256, 256))
"""(rows, inner, columns): a square one, and what wide 1x1 convolutions of these networks look like. The fastest one counts."""
SHARED = True
"""Does not depend on the network."""


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    del network
    files = []
    if row.key.startswith("litert"):
        files = [write_linear(shape, row.precision, out).name for shape in SHAPES]
    return {"files": files, "settings": "the fastest of " + ", ".join("x".join(map(str, shape)) for shape in SHAPES)}


def load(out: Path, row: Row, threads: int) -> Loaded:
    make = {"torch": torch_product, "onnxruntime": onnx_product, "litert": litert_product}[row.key.split("-")[0]]
    products = [(make(shape, row.precision, threads, out), 2 * math.prod(shape)) for shape in SHAPES]
    call, operations = min(products, key=lambda product: seconds_of(product[0]) / product[1])
    return Loaded(lambda _: call(), operations=operations)


def seconds_of(call: Callable[[], Any], repeats: int = 4) -> float:
    """The best of a few calls, the first one left out."""
    samples = []
    for _ in range(1 + repeats):
        began = time.perf_counter()
        call()
        samples.append(time.perf_counter() - began)
    return min(samples[1:])


def torch_product(shape: tuple[int, int, int], precision: str, threads: int, out: Path) -> Callable[[], Any]:
    import torch

    del out
    torch.set_num_threads(threads)
    rows, inner, columns = shape
    if precision == "fp32":
        a, b = torch.rand(rows, inner), torch.rand(inner, columns)
        return lambda: torch.mm(a, b)
    c = torch.randint(-128, 127, (rows, inner), dtype=torch.int8)
    d = torch.randint(-128, 127, (inner, columns), dtype=torch.int8)
    return lambda: torch._int_mm(c, d)


def onnx_product(shape: tuple[int, int, int], precision: str, threads: int, out: Path) -> Callable[[], Any]:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from onenet.runtimes.backends.onnxruntime import import_onnxruntime

    del out
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    fp32 = precision == "fp32"
    a = rng.random((rows, inner), np.float32) if fp32 else rng.integers(0, 255, (rows, inner), np.uint8)
    b = rng.random((inner, columns), np.float32) if fp32 else rng.integers(-128, 127, (inner, columns), np.int8)
    kind, result = (TensorProto.FLOAT, TensorProto.FLOAT) if fp32 else (TensorProto.UINT8, TensorProto.INT32)
    graph = helper.make_graph(
        [helper.make_node("MatMul" if fp32 else "MatMulInteger", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", kind, (rows, inner))],
        [helper.make_tensor_value_info("c", result, (rows, columns))],
        [numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    onnx.checker.check_model(model)
    return lambda: session.run(None, {"a": a})


def write_linear(shape: tuple[int, int, int], precision: str, out: Path) -> Path:
    """A TFLite file with one convolution 1x1 on (1, rows / 64, 64, inner)."""
    import litert_torch
    import numpy as np
    import torch

    from bench.peers.litert import quantize

    rows, inner, columns = shape
    image = torch.rand(1, rows // 64, 64, inner)
    path = out / f"{rows}x{inner}x{columns}.tflite"
    temporary = path if precision == "fp32" else path.with_suffix(".float")
    litert_torch.convert(torch.nn.Linear(inner, columns).eval(), (image,)).export(str(temporary))
    if precision == "int8":
        quantize(temporary, np.random.default_rng(0).random((1, *image.shape[1:]), np.float32), path)
        temporary.unlink()
    return path


def litert_product(shape: tuple[int, int, int], precision: str, threads: int, out: Path) -> Callable[[], Any]:
    from ai_edge_litert.interpreter import Interpreter

    del precision
    interpreter = Interpreter(model_path=str(out / f"{'x'.join(map(str, shape))}.tflite"), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter.invoke  # type: ignore[no-any-return]  # it ships no types
