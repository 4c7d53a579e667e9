"""Profiles one of our artifacts; writes one line of JSON.

python -m bench.operators_worker ARTIFACT NETWORK_FOLDER
"""

from __future__ import annotations

import copy
import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

SECONDS, LEAST = 0.15, 5
NO_BUFFER = 0
"""The schema's empty buffer: what computed tensors point to."""


def milliseconds(run: Callable[[], Any]) -> float:
    """Median of at least ``LEAST`` runs after a warm-up."""
    run()
    samples: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(samples) < LEAST or time.perf_counter() < end:
        began = time.perf_counter()
        run()
        samples.append(1000 * (time.perf_counter() - began))
    return median(samples)


def tflite(content: bytes) -> dict[str, Any]:
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    known: dict[Any, float] = {}
    lines = []
    for operator in graph.operators:
        kind = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        tensors = [graph.tensors[i] for i in [*operator.inputs, *operator.outputs] if i >= 0]
        shapes = [[int(n) for n in (t.shape if t.shape is not None else [])] for t in tensors]
        constants = [
            bytes(model.buffers[t.buffer].data)
            for t in tensors
            if kind == "TRANSPOSE" and model.buffers[t.buffer].data is not None
        ]
        key = (kind, str(shapes), tuple(constants))
        if key not in known:
            known[key] = milliseconds(interpreter(alone(schema, model, operator)).invoke)
        lines.append(
            {"kind": kind, "ms": known[key], "shapes": described(kind, shapes), "operations": operations(kind, shapes)}
        )
    return {"whole_ms": milliseconds(interpreter(content).invoke), "operators": lines}


def alone(schema: Any, model: Any, operator: Any) -> bytes:
    """A file of one operator with its constants."""
    import flatbuffers
    import numpy as np

    graph = model.subgraphs[0]
    part, small = copy.copy(model), copy.copy(graph)
    small.operators = [operator]
    used = [i for i in [*operator.inputs, *operator.outputs] if i >= 0]
    computed = [i for i in operator.inputs if i >= 0 and model.buffers[graph.tensors[i].buffer].data is None]
    small.inputs, small.outputs = np.array(computed, np.int32), np.array(operator.outputs, np.int32)
    kept = {graph.tensors[i].buffer for i in used}
    empty = schema.BufferT()
    part.buffers = [each if i in kept else empty for i, each in enumerate(model.buffers)]
    part.subgraphs, part.signatureDefs, part.metadata = [small], [], []
    builder = flatbuffers.Builder(1024)
    builder.Finish(part.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(model_content=content, num_threads=1)
    made.allocate_tensors()
    return made


def operations(kind: str, shapes: list[list[int]]) -> int:
    """Of a convolution: two per multiplication. Shapes are input, weight (O, h, w, I), bias, output."""
    if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "Conv", "QLinearConv"):
        return 0
    per_output = math.prod(shapes[1][1:]) if kind != "DEPTHWISE_CONV_2D" else math.prod(shapes[1][1:3])
    return 2 * math.prod(shapes[-1]) * per_output


def described(kind: str, shapes: list[list[int]]) -> str:
    sizes = ["x".join(map(str, shape)) for shape in (shapes[0], shapes[-1])]
    weight = f" {'x'.join(map(str, shapes[1][1:3]))}" if kind == "CONV_2D" else ""
    return f"{kind}{weight} {sizes[0]} → {sizes[1]}"


def onnx(file: Path, image: Any) -> dict[str, Any]:
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        plain, watched = (session(ort, file, profile) for profile in ("", f"{folder}/profile"))
        feed = {plain.get_inputs()[0].name: image}
        whole = milliseconds(lambda: plain.run(None, feed))
        runs = Counter()
        milliseconds(lambda: (runs.update(n=1), watched.run(None, feed)))
        events = json.loads(Path(watched.end_profiling()).read_text())
    nodes: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            line = nodes.setdefault(event["name"], node_line(event["args"]))
            line["ms"] += event["dur"] / 1000 / runs["n"]
    return {"whole_ms": whole, "operators": list(nodes.values())}


def session(ort: Any, file: Path, profile: str) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def node_line(arguments: dict[str, Any]) -> dict[str, Any]:
    kind = arguments["op_name"]
    before, after = (
        [next(iter(each.values())) for each in arguments[key]] for key in ("input_type_shape", "output_type_shape")
    )
    weight = next((shape for shape in before[1:] if len(shape) == 4), None)
    count = 2 * math.prod(after[0]) * math.prod(weight[1:]) if kind == "Conv" and weight else 0
    return {
        "kind": kind,
        "ms": 0.0,
        "shapes": f"{kind} {'x'.join(map(str, before[0]))} → {'x'.join(map(str, after[0]))}",
        "operations": count,
    }


def main(file: Path, network: Path) -> None:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if file.suffix == ".tflite":
        found = tflite(file.read_bytes())
    else:
        from bench.networks import load_data

        found = onnx(file, load_data(network)["image"])
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
