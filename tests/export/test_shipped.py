"""The promises of the README, on the shipped models and the shipped evaluation images."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from onenet.base.arrays import run_all
from onenet.base.host import has_vnni
from onenet.calibration.outputs import float_outputs
from onenet.calibration.samples import LabelledImages
from onenet.exporters.results import ExportedArtifact
from onenet.runtimes import open_session, read_manifest
from onenet.runtimes.artifact import open_artifact
from onenet.runtimes.backends.coreml.package import CoreMLPackage
from onenet.runtimes.backends.litert import operators
from onenet.runtimes.quality import Quality, quality
from onenet.targets import pairs, suffixes
from onenet.tasks.segmentation import TASK as SEGMENTATION
from tests.export.conftest import SHIPPED, Artifacts, evaluation_of, images_of, model_of, quantized_of
from tests.shared import few

PAIRS, TARGETS = pairs(), list(suffixes())


@pytest.mark.parametrize("name", few(SHIPPED, 2))
def test_int8_tflite_computes_in_integers_only(name: str, artifacts: Artifacts) -> None:
    integer = operators(artifacts(name, "tflite", "int8", io="int8").path)
    assert {each for _, types in integer for each in types} <= {"int8", "int32"}
    with_float_ends = operators(artifacts(name, "tflite", "int8").path)
    assert with_float_ends[0] == ("QUANTIZE", ("float32", "int8"))
    assert with_float_ends[-1] == ("DEQUANTIZE", ("int8", "float32"))
    assert with_float_ends[1:-1] == integer


@pytest.mark.parametrize("name", few(SHIPPED, 2))
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tflite_is_one_partition_without_index_arithmetic(name: str, precision: str, artifacts: Artifacts) -> None:
    path = artifacts(name, "tflite", precision).path
    names = {operator for operator, _ in operators(path)} - {"QUANTIZE", "DEQUANTIZE"}
    slices = {"SLICE"} if name == "onenet-e4" else set()  # the frame around what its last convolutions became
    assert names == {"CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION", "RESHAPE", "TRANSPOSE"} | slices
    assert open_session(path).runtime.kernels == "XNNPACK, 1 partition"


@pytest.mark.parametrize("name", few(SHIPPED, 2))
def test_int8_onnx_quantizes_both_sides_of_every_convolution(name: str, artifacts: Artifacts) -> None:
    graph = onnx.load(artifacts(name, "onnx", "int8").path).graph
    makers = {result: node.op_type for node in graph.node for result in node.output}
    users = {source: node.op_type for node in graph.node for source in node.input}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        assert [makers[source] for source in node.input[:2]] == ["DequantizeLinear"] * 2
        assert users[node.output[0]] in ("QuantizeLinear", "Relu")
    large = {tensor.data_type for tensor in graph.initializer if np.prod(tensor.dims) > 1024}
    assert large == {onnx.TensorProto.INT8}


@pytest.mark.parametrize("name", few(SHIPPED, 2))
@pytest.mark.parametrize("target", TARGETS)
def test_sizes_of_int8_and_fp16_files(name: str, target: str, artifacts: Artifacts) -> None:
    fp32, fp16, int8 = (artifacts(name, target, precision).bytes for precision in ("fp32", "fp16", "int8"))
    assert int8 <= 0.30 * fp32
    assert fp16 <= 0.52 * fp32


def constants(content: bytes) -> int:
    """Bytes of all weights and biases of convolutions: the second and third input of the operator."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    kinds = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    total = 0
    for graph in model.subgraphs:
        convolutions = [each for each in graph.operators if model.operatorCodes[each.opcodeIndex].builtinCode in kinds]
        tensors = {index for each in convolutions for index in each.inputs[1:]}
        total += sum(len(model.buffers[graph.tensors[index].buffer].data) for index in tensors)
    return total


@pytest.mark.parametrize("name", few(SHIPPED, 2))
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_tflite_file_is_little_more_than_its_weights(name: str, precision: str, artifacts: Artifacts) -> None:
    artifact = artifacts(name, "tflite", precision)
    assert artifact.bytes <= 1.10 * constants(artifact.path.read_bytes())


def quality_of(name: str, artifact: ExportedArtifact) -> Quality:
    """Against the float model on the evaluation images; in exact arithmetic where this CPU's int8 kernels saturate."""
    if artifact.manifest["target"] != "onnx" or has_vnni() is not False:
        assert artifact.quality is not None
        return artifact.quality
    session, evaluation, images = open_artifact(artifact.path, exact_int8=True), evaluation_of(name), images_of(name)
    assert isinstance(evaluation, LabelledImages)
    found = run_all(lambda part: session.run({"image": part})["logits"], images, 1)
    return quality(SEGMENTATION, "logits", float_outputs(model_of(name), images), found, evaluation.labels, 2)


@pytest.mark.parametrize("name", few(SHIPPED, 2))
@pytest.mark.parametrize("target", TARGETS)
def test_int8_keeps_the_labels_and_the_miou(name: str, target: str, artifacts: Artifacts) -> None:
    found = quality_of(name, artifacts(name, target, "int8"))
    assert found.label_agreement is not None
    assert found.images == 8
    assert found.float_scores["miou"] >= 0.85  # the model does its task: agreeing on one class everywhere would prove nothing
    assert found.label_agreement >= 0.99
    assert found.scores["miou"] >= found.float_scores["miou"] - 0.01


@pytest.mark.parametrize("name", few(SHIPPED, 2))
def test_int8_core_ml_is_at_most_a_step_off_the_reference(name: str, artifacts: Artifacts) -> None:
    artifact, reference, images = artifacts(name, "coreml", "int8"), quantized_of(name).reference, images_of(name)
    step, package = artifact.manifest["golden"]["outputs"][0]["scale"], CoreMLPackage(artifact.path, native=False)
    assert len(images) == 8
    for image in images:
        with torch.no_grad():
            expected = reference(torch.from_numpy(image[None])).numpy()
        found = package.evaluate({"image": image[None]})["logits"]
        assert np.abs(found - expected).max() <= 1.001 * step
        assert np.mean(found.argmax(1) == expected.argmax(1)) >= 0.995


@pytest.mark.parametrize("name", few(SHIPPED, 2))
@pytest.mark.parametrize("target", TARGETS)
def test_fp16_and_fp32_are_close_to_the_float_model(name: str, target: str, artifacts: Artifacts) -> None:
    half = 45 if target == "coreml" else 50  # there activations are rounded too, in the other two weights only
    for precision, least in (("fp16", half), ("fp32", 100)):
        found = artifacts(name, target, precision).quality
        assert found is not None
        assert found.sqnr_db is not None
        assert found.sqnr_db >= least


@pytest.mark.parametrize("name", few(SHIPPED, 2))
@pytest.mark.parametrize(("target", "precision"), sorted(PAIRS))
def test_the_artifact_carries_its_golden_pair_and_its_classes(
    name: str, target: str, precision: str, artifacts: Artifacts
) -> None:
    manifest = read_manifest(artifacts(name, target, precision).path)
    assert manifest is not None
    ((golden_input,), (golden_output,)) = manifest["golden"]["inputs"], manifest["golden"]["outputs"]
    assert (golden_input["name"], golden_input["shape"]) == ("image", [1, 3, 43, 43])
    assert (golden_output["name"], golden_output["dtype"]) == ("logits", "int8" if precision == "int8" else "float32")
    assert manifest["source"]["weights"] == "shipped"
    assert [each["name"] for each in manifest["classes"]] == ["background", "nucleus"]
