"""Which estimator, and whether bias correction and cross-layer equalisation pay: int8 against float in PyTorch, no runtime.

    python -m bench.quantization                    # on the 8 shipped evaluation images
    python -m bench.quantization --evaluation DIR   # on any folder with images/ and labels/

Writes docs/benchmarks/quantization.md. The networks are both shipped checkpoints and the paper's width of 64 with random
weights; calibration is the shipped default. "kept" is what ``onenet.calibrate`` does: corrected biases only where the output
gets nearer.
"""

from __future__ import annotations

import dataclasses
import operator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from numpy.typing import NDArray

import onenet
from bench.memory import DOCS, context
from onenet.base.metrics import confusion, label_agreement, mean_iou, sqnr_db
from onenet.base.quiet import quiet
from onenet.calibration.bias import correct_biases
from onenet.calibration.decide import decide, quantize
from onenet.calibration.estimators import ESTIMATORS
from onenet.calibration.observe import Calibration, observe
from onenet.calibration.outputs import float_outputs
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8
from onenet.calibration.record import identified
from onenet.calibration.samples import default_calibration, default_evaluation, load_labelled, stream_samples
from onenet.calibration.scheme import RELU
from onenet.lowering.graph import Graph, aten
from onenet.model import Model

SIDE = 256
NETWORKS: dict[str, dict[str, Any]] = {
    "onenet-ed4": dict(model="onenet-ed4"),
    "onenet-e4": dict(model="onenet-e4"),
    "ed4, width 64, random": dict(model="onenet-ed4", width=64, random_weights=True, spatial=False),
}


def equalised(model: Model, calibration: Calibration) -> Model:
    """Every conv -> ReLU -> conv with its channels scaled so that activations and the weights that read them share the burden.

    M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.1, with activations
    instead of the first layer's weights, which have a scale per channel here.
    """
    graph = Graph.of(calibration.program)
    largest = channel_maxima(calibration)
    for relu in graph.calls(*RELU):
        (first,), readers = relu.all_input_nodes, list(relu.users)
        if first.target is not aten.conv2d.default or len(first.users) > 1 or len(readers) != 1:
            continue
        second = readers[0]
        if second.target is not aten.conv2d.default or (len(second.args) > 6 and second.args[6] != 1):
            continue
        one, bias, two = (
            operator.attrgetter(str(node.args[i].target))(graph.module) for node, i in ((first, 1), (first, 2), (second, 1))
        )
        reading = two.detach().abs().amax((0, 2, 3))
        scale = (largest[relu.name] / reading.clamp_min(1e-9)).clamp_min(1e-9).sqrt()
        scale = (scale / scale.log().mean().exp()).clamp(0.125, 8)
        with torch.no_grad():
            one.div_(scale[:, None, None, None])
            bias.div_(scale)
            two.mul_(scale[None, :, None, None])
    return dataclasses.replace(model, module=graph.finish())


@torch.no_grad()
def channel_maxima(calibration: Calibration) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    class Maxima(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            result = super().run_node(n)
            if n.target in RELU:
                found[n.name] = torch.maximum(found.get(n.name, torch.tensor(0.0)), result.amax((0, 2, 3)))
            return result

    for each in calibration.inputs:
        Maxima(calibration.program).run(*each)
    return found


def corrected(calibration: Calibration, plain: QuantizedModel) -> QuantizedModel:
    """Biases corrected whether it helps or not."""
    biases = correct_biases(calibration.means, plain.reference, calibration.inputs).biases
    return quantize(calibration.model, identified(dataclasses.replace(plain.record, biases=biases)), calibration.program)


def main(
    evaluation: Annotated[Path | None, typer.Option(help="folder with images/ and labels/")] = None,
    out: Annotated[Path, typer.Option(help="folder for quantization.md")] = DOCS,
) -> None:
    labelled = load_labelled(evaluation or default_evaluation(), SIDE, SIDE)
    lines = ["| network | estimator | biases | equalised | SQNR | labels | mIoU, points |", "|---|---|---|---|--:|--:|--:|"]
    for network, options in NETWORKS.items():
        with quiet():
            model = onenet.lower(onenet.build(options["model"], **{k: v for k, v in options.items() if k != "model"}))
            calibration = observe(model, stream_samples(default_calibration(), SIDE, SIDE))
            other = equalised(model, calibration)
            equal = observe(other, stream_samples(default_calibration(), SIDE, SIDE))
        images = labelled.samples.arrays[:2] if options.get("random_weights") else labelled.samples.arrays
        wanted = float_outputs(model, images)
        truth = None if options.get("random_weights") else labelled.labels

        def row(estimator: str, biases: str, how: str, quantized: QuantizedModel) -> str:
            found = float_outputs(dataclasses.replace(model, module=quantized.reference), images)  # noqa: B023
            return f"| {network} | {estimator} | {biases} | {how} | {scores(wanted, found, truth)} |"  # noqa: B023

        for estimator in ESTIMATORS:
            recipe = dataclasses.replace(INT8, estimator=estimator, bias_correction=False)
            with quiet():
                plain = decide(calibration, recipe)
                lines.append(row(estimator, "as they are", "no", plain))
                lines.append(row(estimator, "corrected", "no", corrected(calibration, plain)))
                if estimator == "mse":
                    kept = dataclasses.replace(recipe, bias_correction=True)
                    lines.append(row(estimator, "kept", "no", decide(calibration, kept)))
                    lines.append(row(estimator, "as they are", "yes", decide(equal, recipe)))
                    lines.append(row(estimator, "kept", "yes", decide(equal, kept)))
            typer.echo("\n".join(lines[-5:]))
    text = "\n".join(lines)
    typer.echo(text)
    note = " ".join((__doc__ or "").split("\n\n")[-1].split()).replace("Writes docs/benchmarks/quantization.md. ", "")
    versions = ", ".join(f"{name} {value}" for name, value in context().items())
    where = f"On {len(labelled.labels)} images (2 for random weights), with {versions}."
    (out / "quantization.md").write_text(f"# int8 against float\n\n{note}\n\n{text}\n\n{where}\n")


def scores(wanted: NDArray[Any], found: NDArray[Any], truth: NDArray[Any] | None) -> str:
    labels = [each.argmax(1) for each in (wanted, found)]
    agreement = f"{sqnr_db(wanted, found):.1f} dB | {label_agreement(*labels):.2%}"
    if truth is None:
        return f"{agreement} | "
    before, after = (100 * mean_iou(confusion(truth, each, wanted.shape[1])) for each in labels)
    return f"{agreement} | {after - before:+.2f}"


if __name__ == "__main__":
    typer.run(main)
