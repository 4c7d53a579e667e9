"""One network of the zoo in a process of its own: every target and precision, ours and the usual way.

``python -m bench.zoo.cell NAME RESULT.json``. The result is written anew after every part, so that one that is stopped keeps
what was finished.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench.worker import own_stdout, reason_of
from bench.zoo.networks import NETWORKS, Network, build, settle
from bench.zoo.packages import define_torchvision_operators
from bench.zoo.usual import WAYS

TARGETS = ("tflite", "onnx", "coreml")
PRECISIONS = ("fp32", "int8")
TIMED = ("tflite", "onnx")
CALIBRATION_IMAGES, EVALUATION_IMAGES, TRAINING_IMAGES = 4, 2, 16
ROUNDS, ROUND_S = 7, 0.15
Cell = dict[str, Any]


class Bench:
    """A network, its images, and what it gives for those that are no calibration images."""

    def __init__(self, network: Network, folder: Path) -> None:
        import numpy as np
        import torch

        import onenet
        from onenet.calibration.samples import default_calibration, default_evaluation

        size = network.size
        self.network, self.folder = network, folder
        calibration = onenet.load_samples(default_calibration(), size, size, limit=TRAINING_IMAGES).arrays
        evaluation = onenet.load_samples(default_evaluation(), size, size, limit=EVALUATION_IMAGES).arrays
        training = [stretched(each) for each in calibration]
        self.images = training[:CALIBRATION_IMAGES]
        self.evaluation = [stretched(each)[None] for each in evaluation]
        self.module = build(network)
        settle(self.module, torch.from_numpy(np.concatenate([np.stack(training), *self.evaluation])))
        self.expected = self.outputs_of(self.module)
        self.sources: dict[str, Any] = {}

    def outputs_of(self, module: Any) -> list[list[Any]]:
        """All outputs of a PyTorch module, for each evaluation image."""
        import torch

        with torch.no_grad():
            found = [module(torch.from_numpy(each)) for each in self.evaluation]
        every = [each if isinstance(each, (tuple, list)) else [each] for each in found]
        return [[value.float().numpy() for value in values] for values in every]

    def source(self, precision: str) -> Any:
        """What ``onenet.export`` takes; an error is kept and raised again."""
        import onenet

        if precision not in self.sources:
            try:
                if precision == "fp32":
                    made: Any = onenet.lower(onenet.build(self.module, input_size=(self.network.size, self.network.size)))
                else:
                    made = onenet.calibrate(self.source("fp32"), list(self.images))
                self.sources[precision] = made
            except Exception as error:  # anything may go wrong in anybody's network: that is what is asked here
                self.sources[precision] = error
        if isinstance(self.sources[precision], Exception):
            raise self.sources[precision]
        return self.sources[precision]

    def decibels(self, found: list[list[Any]]) -> float:
        """Signal to noise against the network in float, over all evaluation images; of several outputs the worst."""
        import numpy as np

        from onenet.base.metrics import sqnr_db

        pairs = [
            (np.concatenate(expected), np.concatenate(values).reshape(np.concatenate(expected).shape))
            for expected, values in zip(zip(*self.expected, strict=True), zip(*found, strict=True), strict=True)
        ]
        return round(min(max(min(sqnr_db(*pair) for pair in pairs), -99), 199), 1)


def stretched(image: Any) -> Any:
    """The image with a mean of 0.5 and a deviation of 0.2, in 256 levels: a random network makes nothing of a dark one."""
    import numpy as np

    values = ((image - image.mean()) / image.std() * 0.2 + 0.5).clip(0, 1)
    return (np.rint(255 * values) / 255).astype(np.float32)


def ours(bench: Bench, target: str, precision: str) -> tuple[Cell, Callable[[], object] | None]:
    """Our file: what it is, and how to run it once."""
    import onenet
    from onenet.errors import CheckError
    from onenet.runtimes.artifact import open_artifact

    cell: Cell = {"reason": ""}
    source = bench.source(precision)
    if precision == "int8":
        cell["simulation_db"] = bench.decibels(bench.outputs_of(source.reference))
    out = bench.folder / f"ours-{target}"
    try:
        exported = onenet.export(source, target=target, precision=precision, out=out)
    except CheckError as error:  # how far it is off is said by the figures
        cell["refused"] = reason_of(error)
        exported = onenet.export(source, target=target, precision=precision, out=out, verify=False)
    artifact = open_artifact(exported.path, 1)
    feeds = [{artifact.inputs[0].name: each} for each in bench.evaluation]
    cell |= {"bytes": exported.bytes, "db": bench.decibels([list(artifact.run(each).values()) for each in feeds])}
    if target == "tflite":
        cell |= lite_facts(exported.path)
    stored = artifact.stored(feeds[0])
    return cell, lambda: artifact.session.run(stored)


def usual(bench: Bench, target: str, precision: str) -> tuple[Cell, Callable[[], object] | None]:
    """The usual way's file."""
    if (target, precision) not in WAYS:
        return {"reason": "needs a Mac"}, None
    path = bench.folder / f"usual.{precision}.{dict(tflite='tflite', onnx='onnx', coreml='mlpackage')[target]}"
    WAYS[target, precision](bench.module, bench.images, path)
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    cell: Cell = {"reason": "", "bytes": sum(each.stat().st_size for each in files)}
    if target not in TIMED:
        return cell, None
    run = lite_runner(path) if target == "tflite" else onnx_runner(path)
    cell["db"] = bench.decibels([run(each) for each in bench.evaluation])
    if target == "tflite":
        cell |= lite_facts(path)
    return cell, lambda: run(bench.evaluation[0])


def lite_runner(path: Path) -> Callable[[Any], list[Any]]:
    from ai_edge_litert.interpreter import Interpreter

    from bench.peers.litert import dequantize, quantize

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,), results = interpreter.get_input_details(), interpreter.get_output_details()

    def run(image: Any) -> list[Any]:
        interpreter.set_tensor(source["index"], quantize(image, *source["quantization"]))
        interpreter.invoke()
        return [dequantize(interpreter.get_tensor(each["index"]), *each["quantization"]) for each in results]

    return run


def onnx_runner(path: Path) -> Callable[[Any], list[Any]]:
    from bench.peers.onnxruntime import load_file

    return load_file(path, 1).run


def lite_facts(path: Path) -> Cell:
    """Partitions that XNNPACK takes, and the operators that compute in float."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = Interpreter(model_path=str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    types = {each["index"]: each["dtype"].__name__ for each in plain.get_tensor_details()}
    operators = [each for each in plain._get_ops_details() if each["op_name"] not in ("QUANTIZE", "DEQUANTIZE", "DELEGATE")]
    floats = Counter(each["op_name"] for each in operators if types.get(each["outputs"][0]) == "float32")
    taken = Interpreter(model_path=str(path), num_threads=1)
    taken.allocate_tensors()
    partitions = sum(each["op_name"] == "DELEGATE" for each in taken._get_ops_details())
    return {"partitions": partitions, "operators": len(operators), "float_operators": dict(floats)}


def time_together(runs: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds of CPU per inference, one median a round, asked in turn."""
    for run in runs.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            samples: list[float] = []
            end = time.process_time() + ROUND_S
            while not samples or time.process_time() < end:
                began = time.process_time()
                run()
                samples.append(time.process_time() - began)
            found[name].append(round(1000 * median(samples), 4))
    return found


def one_target(bench: Bench, target: str, save: Callable[[str, str, Cell], None]) -> None:
    runs: dict[str, Callable[[], object]] = {}
    for precision in PRECISIONS:
        for name, way in (("ours", ours), ("usual", usual)):
            try:
                cell, run = way(bench, target, precision)
            except Exception as error:  # the converters raise anything; the reason is the cell
                cell, run = {"reason": reason_of(error), "kind": type(error).__name__}, None
            save(f"{target}-{precision}", name, cell)
            if run is not None and target in TIMED:
                runs[f"{name}-{precision}"] = run
    for key, samples in time_together(runs).items():
        name, _, precision = key.partition("-")
        save(f"{target}-{precision}", name, {"ms": samples})


def main(name: str, result: Path) -> None:
    answers = own_stdout()
    define_torchvision_operators()
    network = NETWORKS[name]
    found: dict[str, Any] = {"name": name, "origin": network.origin, "kind": network.kind, "size": network.size, "cells": {}}

    def save(cell: str, way: str, content: Cell) -> None:
        found["cells"].setdefault(cell, {}).setdefault(way, {}).update(content)
        result.write_text(json.dumps(found, indent=1) + "\n")
        if "ms" not in content:
            said = (
                content["reason"] or content.get("refused") or f"{content['bytes'] / 1e6:.2f} MB, {content.get('db', '-')} dB"
            )
            answers.write(f"{name} {cell} {way}: {said}\n")
            answers.flush()

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(network, Path(folder))
        found["parameters"] = sum(each.numel() for each in bench.module.parameters())
        found["outputs"] = [list(each.shape) for each in bench.expected[0]]
        for target in TARGETS:
            one_target(bench, target, save)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
