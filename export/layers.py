"""An artifact layer by layer beside the network that it was made of.

The reference is the module that the converter read, run operator by operator: once on the image, and once with each layer's
value replaced by the artifact's own before the next one is computed (see ``onenet.runtimes.layers``).
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule, Interpreter, Node

from onenet.base.arrays import Array
from onenet.base.metrics import sqnr_db
from onenet.base.quiet import quiet
from onenet.base.text import shape_text
from onenet.errors import OneNetError
from onenet.exporters.exporter import exporter_of
from onenet.exporters.job import Job
from onenet.lowering.graph import layer_of, plain
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE, QUANTIZERS, RELU
from onenet.runtimes.artifact import Artifact, open_artifact
from onenet.runtimes.layers import (
    TOLERANCES,
    Difference,
    Layer,
    Profile,
    aligned,
    describe,
    difference,
    judge,
    named,
)
from onenet.runtimes.parity import read_golden
from onenet.runtimes.session import LayerValue

Floats = NDArray[np.float32]


def named_module(program: ExportedProgram) -> GraphModule:
    """A program as a module whose operators can be run one by one."""
    return plain(program.module(check_guards=False))


@dataclass(frozen=True)
class LayerPlace:
    """Where a layer's value is in a module."""

    operators: tuple[str, ...]
    """The operator, and the ReLU behind it."""
    node: Node
    """Holds the value: the last of them, or the quantize operator behind it."""
    outputs: tuple[str, ...] = ()
    """Outputs of the model that hold the value under names of their own."""

    @property
    def operator(self) -> Node:
        """The first of the operators."""
        last = self.node.all_input_nodes[0] if self.node.target is QUANTIZE else self.node
        return last.all_input_nodes[0] if len(self.operators) > 1 else last

    @property
    def module(self) -> str:
        """Path of the operator's module in the user's network; empty for the network itself."""
        return layer_of(self.operator)

    @property
    def names(self) -> tuple[str, ...]:
        """What an artifact may call the value. Where it lacks the ReLU, the operator's own value is what counts."""
        return (*self.outputs, *reversed(self.operators))

    @property
    def quantization(self) -> tuple[float, int] | None:
        """Scale and zero point of the layer's value; None in float."""
        if self.node.target is not QUANTIZE:
            return None
        _, scale, zero_point, *_ = self.node.args
        return float(scale), int(zero_point)  # type: ignore[arg-type]  # numbers

    def floats(self, value: Tensor) -> Floats:
        """The layer's value in float32."""
        return LayerValue(value.numpy(), *(self.quantization or ())).floats()

    def stored(self, floats: Floats) -> Tensor:
        """The other way round: what the module computes with where the layer's value is ``floats``."""
        value = torch.from_numpy(floats)
        result: Tensor = self.node.target(value, *self.node.args[1:]) if self.quantization else value  # type: ignore[operator]
        return result


def places_of(module: GraphModule, job: Job) -> dict[Node, LayerPlace]:
    """Every layer of the job's module in graph order, by the node that holds its value."""
    variable = depends_on_input(module)
    found: dict[Node, LayerPlace] = {}
    for node in module.graph.nodes:
        if node in variable and is_operator(node) and (node.target in RELU or not only_user(node, RELU)):
            quantize = only_user(node, (QUANTIZE,))
            found[quantize or node] = LayerPlace(fused(node), quantize or node)
    given = next(node for node in module.graph.nodes if node.op == "output").args[0]
    results = [each for each in (given if isinstance(given, (list, tuple)) else [given]) if isinstance(each, Node)]
    for spec, result in zip(job.model.spec.outputs, results, strict=True):
        source = result.all_input_nodes[0] if result.target is DEQUANTIZE else result
        if source in found:
            found[source] = dataclasses.replace(found[source], outputs=(*found[source].outputs, spec.name))
    return found


def depends_on_input(module: GraphModule) -> set[Node]:
    """The nodes whose values change with the input."""
    found: set[Node] = set()
    for node in module.graph.nodes:
        if node.op == "placeholder" or any(each in found for each in node.all_input_nodes):
            found.add(node)
    return found


def is_operator(node: Node) -> bool:
    """Computes one float tensor, and does not only quantize it."""
    value = node.meta.get("val")
    computes = node.op == "call_function" and node.target not in (*QUANTIZERS, operator.getitem)
    return computes and isinstance(value, Tensor) and value.is_floating_point()


def fused(node: Node) -> tuple[str, ...]:
    """The operators of the layer that ends with ``node``: it, or with a ReLU what only that reads, too."""
    before = node.all_input_nodes[0]
    alone = node.target not in RELU or before.target in RELU or not is_operator(before) or len(before.users) > 1
    return (node.name,) if alone else (before.name, node.name)


def only_user(node: Node, targets: tuple[object, ...]) -> Node | None:
    """The one node that reads ``node``, where it calls one of ``targets``; else None."""
    user = next(iter(node.users)) if len(node.users) == 1 else None
    return user if user is not None and user.target in targets else None


class Watched(Interpreter):
    """Runs a module and shows ``visit`` the value of each layer; what that returns takes the value's place.

    ``unrounded`` layers hand on what they compute without quantizing it.
    """

    def __init__(
        self,
        module: GraphModule,
        places: Mapping[Node, LayerPlace],
        visit: Callable[[LayerPlace, Floats], Floats | None],
        unrounded: Collection[Node] = (),
    ) -> None:
        super().__init__(module, garbage_collect_values=not unrounded)
        self.places, self.visit, self.unrounded = places, visit, unrounded

    def run_node(self, n: Node) -> object:
        """Run one node; a layer's value is shown to ``visit``, whose answer takes its place."""
        if n.target is DEQUANTIZE and n.args[0] in self.unrounded:
            return self.env[n.all_input_nodes[0].all_input_nodes[0]]
        value = super().run_node(n)
        if n not in self.places:
            return value
        replacement = self.visit(self.places[n], self.places[n].floats(value))
        return value if replacement is None else self.places[n].stored(replacement)


class Reference:
    """The network of a job, ready to be compared with artifacts of it.

    ``module`` is what the converter reads for the artifact.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        with quiet():
            self.module = named_module(job.program)
            self.names = exporter_of(job.target).layer_names(job.program)
        self.places = places_of(self.module, job)
        self.own_names = calibrated_names(job) if job.quantized else {}

    def float_values(self, inputs: Sequence[Tensor]) -> dict[LayerPlace, Floats]:
        """Each layer's value in what the converter reads for a float artifact of the same target, where that has the layer."""
        values: dict[tuple[str, ...], Floats] = {}

        def keep(place: LayerPlace, value: Floats) -> None:
            values[place.operators] = value

        module, places = self.floats
        Watched(module, places, keep).run(*inputs)
        own = {place: tuple(self.own_names.get(name, name) for name in place.operators) for place in self.places.values()}
        found = {place: values[names] for place, names in own.items() if names in values}
        left = {names: value for names, value in values.items() if names not in own.values()}
        anew = {place: left[place.operators] for place in own if place not in found and place.operators in left}  # by a rule
        return {**found, **anew}

    @functools.cached_property
    def floats(self) -> tuple[GraphModule, dict[Node, LayerPlace]]:
        """What the converter reads for a float artifact of the same target, and its layers."""
        if self.job.quantized is None:
            return self.module, self.places
        job = dataclasses.replace(self.job, quantized=None, precision="fp32")
        with quiet():
            module = named_module(job.program)
        return module, places_of(module, job)

    def wrong(self, place: LayerPlace, found: Difference) -> str | None:
        """How a layer breaks its tolerance: a quantized layer's, or the one of the arithmetic that float layers have."""
        floats = "fp16" if self.job.precision == "fp16" else "fp32"
        stored = "int8" if place.quantization else floats if found.max_steps is None else "stored in int8"
        return judge(found, TOLERANCES[stored], place.node.meta["val"].numel())


def calibrated_names(job: Job) -> dict[str, str]:
    """Names of a job's operators -> what calibration called them: what int8 has more than float moves the numbers in names."""
    nodes = [node for node in job.program.graph.nodes if node.meta.get("from_node")]
    return {node.name: node.meta["from_node"][-1].name for node in nodes}


class LayerComparison:
    """An artifact's values, and what is found while the reference runs beside them: of each layer alone, and in ``whole`` with
    all that piled up before it.
    """

    def __init__(
        self, reference: Reference, values: Mapping[str, LayerValue], inputs: Sequence[Tensor], *, whole: bool = True
    ) -> None:
        self.reference, self.values, self.inputs = reference, values, inputs
        self.floats = reference.float_values(inputs) if whole else {}
        self.piled_up: dict[LayerPlace, Difference] = {}
        self.decibels: dict[LayerPlace, tuple[float | None, float | None]] = {}
        """SQNR against the float network: the artifact's, and the reference's."""
        self.alone: dict[LayerPlace, Difference] = {}
        self.turned: dict[LayerPlace, tuple[int, ...]] = {}
        """Layers whose axes the artifact has in an order that nothing explains."""
        if whole:
            self.run(self.on_the_image)
        self.run(self.on_its_own_inputs)
        self.forgive_fusion()

    def run(self, visit: Callable[[LayerPlace, Floats], Floats | None], unrounded: Collection[Node] = ()) -> None:
        """Run the reference on the golden input and show each layer to ``visit``."""
        Watched(self.reference.module, self.reference.places, visit, unrounded).run(*self.inputs)

    def value(self, place: LayerPlace) -> LayerValue | None:
        """The artifact's value of a layer; None where it does not show one."""
        return next((self.values[name] for name in place.names if name in self.values), None)

    def step(self, place: LayerPlace) -> float | None:
        """The layer's int8 step: the reference's, or the artifact's where only that stores integers."""
        value = self.value(place)
        return place.quantization[0] if place.quantization else value.scale if value else None

    def own(self, place: LayerPlace, reference: Floats) -> Floats | None:
        """The artifact's value of a layer, as the reference has it: in its order of axes, and quantized where it is."""
        value = self.value(place)
        if value is None:
            return None
        like = aligned(value.floats(), reference)
        if like is None and value.stored.size == reference.size:
            self.turned[place] = value.stored.shape
        rounded = like is None or place.quantization is None or value.scale is not None
        return like if rounded else place.floats(place.stored(like))  # type: ignore[arg-type]  # not None then

    def on_the_image(self, place: LayerPlace, reference: Floats) -> None:
        """Compare a layer's value, with everything that piled up before it."""
        own = self.own(place, reference)
        if own is None:
            return
        truth = self.floats.get(place)
        self.piled_up[place] = difference(reference, own, self.step(place))
        self.decibels[place] = (None, None)
        if truth is not None and truth.shape == own.shape:  # int8 and float may be arranged differently
            self.decibels[place] = (sqnr_db(truth, own), sqnr_db(truth, reference))

    def on_its_own_inputs(self, place: LayerPlace, reference: Floats) -> Floats | None:
        """Compare a layer alone, and hand the artifact's own value on."""
        own = self.own(place, reference)
        if own is not None:
            self.alone[place] = difference(reference, own, self.step(place))
        elif place in self.turned:
            self.alone[place] = LOST
        return own

    def forgive_fusion(self) -> None:
        """Two layers fused into one round once: where a layer is wrong, one of which nothing is seen may not have rounded."""
        first, wrong = dict(self.alone), self.reference.wrong
        unseen = {node for node, place in self.reference.places.items() if place.quantization and place not in first}
        if unseen and any(wrong(*each) for each in first.items()):
            self.run(self.on_its_own_inputs, unseen)
            self.alone |= {place: each for place, each in first.items() if wrong(place, self.alone[place])}


LOST = Difference(float("-inf"), float("inf"))


def profile(job: Job, path: Path, runtime: str | None = None) -> Profile:
    """Compare every layer of the job's artifact with its reference, on the image of its golden pair.

    Raises:
        CheckError: the artifact is damaged.
        ToolError: its runtime is missing, fails, or cannot show what is between the layers.
    """
    return compare(Reference(job), path, runtime)


def compare(reference: Reference, path: Path, runtime: str | None = None) -> Profile:
    """``profile``, with a reference that serves several artifacts of one job."""
    with quiet():
        artifact = open_exact(path, runtime)
        found = comparison(reference, artifact)
    return make_profile(artifact, found)


def comparison(reference: Reference, artifact: Artifact, *, whole: bool = True) -> LayerComparison:
    """The layers of an artifact beside the reference's, on the image of its golden pair."""
    feeds, _ = read_golden(artifact)
    values = artifact_values(artifact, feeds)
    own = {reference.names.get(name, name): value for name, value in values.items()}
    inputs = [torch.from_numpy(feeds[spec.name]) for spec in reference.job.model.spec.inputs]
    with torch.no_grad():
        return LayerComparison(reference, own, inputs, whole=whole)


def make_profile(artifact: Artifact, found: LayerComparison) -> Profile:
    """The profile of an artifact from what was compared."""
    places, session = found.reference.places.values(), artifact.session
    known = {name for place in places for name in place.names} | {spec.name for spec in (*artifact.inputs, *artifact.outputs)}
    return Profile(
        artifact.path.name,
        found.reference.job.target,
        found.reference.job.precision,
        dataclasses.replace(session.runtime, kernels=session.layer_kernels),
        tuple(make_layer(place, found) for place in found.alone),
        missing=tuple(place.operators[0] for place in places if place not in found.alone),
        extra=tuple(name for name in found.values if name.partition(".")[0] not in known),
    )


def make_layer(place: LayerPlace, found: LayerComparison) -> Layer:
    """The row of one place: decibels of the artifact and of the reference there, and what is wrong, if anything."""
    alone, shape = found.alone[place], tuple(place.node.meta["val"].shape)
    own, reference = found.decibels.get(place, (None, None))
    wrong = found.reference.wrong(place, alone)
    if place in found.turned:
        wrong = f"its axes are {shape_text(found.turned[place])}, the reference's {shape_text(shape)}"
    simulated = reference if found.reference.job.quantized else None
    return Layer(place.operators, shape, alone, found.piled_up.get(place, LOST), own, simulated, wrong, place.module)


def open_exact(path: Path, runtime: str | None = None) -> Artifact:
    """The artifact; in exact arithmetic where this CPU's int8 kernels saturate, which is not the artifact's fault."""
    artifact = open_artifact(path, runtime=runtime)
    return open_artifact(path, runtime=runtime, exact_int8=True) if artifact.session.may_saturate else artifact


def artifact_values(artifact: Artifact, feeds: Mapping[str, Array]) -> dict[str, LayerValue]:
    """Tensor name -> value inside the artifact on float feeds. Raises NotShownError where the runtime shows none."""
    return artifact.session.layers(artifact.stored(feeds))


def first_bad_layer(job: Job, path: Path) -> str:
    """A sentence that says where an artifact goes wrong; empty where it cannot be said."""
    try:
        found = profile(job, path)
    except OneNetError:  # it only explains another failure
        return ""
    return "" if found.passed else describe(found)


def first_lossy_layer(job: Job, feeds: Mapping[str, Array], least: float) -> str:
    """The first layer of a job's int8 program that keeps less than so many dB of the float network's; empty if none does."""
    try:
        reference = Reference(job)
    except OneNetError:  # it only explains
        return ""
    inputs = [torch.from_numpy(feeds[spec.name]) for spec in job.model.spec.inputs]
    below: list[str] = []

    def keep(place: LayerPlace, value: Floats) -> None:
        truth = floats.get(place)
        if truth is not None and truth.shape == value.shape and sqnr_db(truth, value) < least:
            below.append(named(place.operators[0], place.module))

    with torch.no_grad():
        floats = reference.float_values(inputs)
        Watched(reference.module, reference.places, keep).run(*inputs)
    return below[0] if below else ""
