"""This repository, through its public functions: the same weights, lowered, calibrated on the same images, exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.networks import load_data
from bench.peers import Loaded, Row

REQUIREMENTS: tuple[str, ...] = ()
ROWS = (
    Row("tflite-fp32", "onenet TFLite", "fp32", ours=True),
    Row("tflite-int8", "onenet TFLite", "int8", ours=True),
    Row("onnx-fp32", "onenet ONNX", "fp32", ours=True),
    Row("onnx-int8", "onenet ONNX", "int8", ours=True),
)


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    import onenet
    from onenet.errors import CheckError

    target = row.key.split("-")[0]
    facts = json.loads((network / "network.json").read_text())
    name = f"onenet-{facts['config']['variant']}{facts['config']['layers']}"
    size = (facts["size"], facts["size"])
    model = onenet.lower(onenet.build(name, weights=network / "weights.pt", input_size=size))
    source: Any = onenet.calibrate(model, list(load_data(network)["calibration"])) if row.precision == "int8" else model
    note = ""
    try:
        artifact = onenet.export(source, target=target, precision=row.precision, out=out)
    except CheckError as error:  # the comparison says itself how far the output is off
        note = f"does not pass its own check: {error}"
        artifact = onenet.export(source, target=target, precision=row.precision, out=out, verify=False)
    return {"files": [artifact.path.name], "note": note}


def load(out: Path, row: Row, threads: int) -> Loaded:
    from onenet.runtimes.artifact import open_artifact
    from onenet.runtimes.tensors import dequantize, quantize, to_canonical, to_stored

    del row
    (path,) = [each for each in out.iterdir() if each.suffix in (".tflite", ".onnx")]
    artifact = open_artifact(path, threads)
    (source,), (result,) = artifact.inputs, artifact.outputs
    return Loaded(
        artifact.session.run,
        lambda image: {source.name: quantize(to_stored(image, source), source)},
        lambda results: to_canonical(dequantize(results[result.name], result), result),
    )
