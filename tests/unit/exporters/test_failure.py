"""At which operator a converter failed, in which layer of the user's network, and what to try."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.fx import Interpreter, Node

from onenet.base.quiet import quiet
from onenet.calibration.calibrate import calibrate
from onenet.errors import CheckError, ConversionError, RequestError, ToolError
from onenet.exporters.failure import Culprit, culprit_of, explained, explained_as, reason_of, tries_of
from onenet.exporters.job import Job
from onenet.exporters.layers import named_module
from onenet.exporters.pipeline import make_job
from onenet.lowering import lower
from onenet.lowering.graph import layer_of
from onenet.models.build import build

SIZE = (8, 8)


class Block(nn.Module):
    """A layer with operators of its own, one of them in a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Softplus()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = torch.asinh(self.act(self.norm(self.conv(x))))
        return result


class Net(nn.Module):
    """Two blocks of one kind between convolutions, and an operator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = nn.Conv2d(3, 4, 1), nn.Sequential(Block(), Block()), nn.ConvTranspose2d(4, 2, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.blocks(self.stem(x)).tan())
        return result


@pytest.fixture(scope="module")
def job() -> Job:
    torch.manual_seed(0)
    return make_job(build(lambda: Net().eval(), input_size=SIZE), "onnx", "fp32", "float")


@pytest.fixture(scope="module")
def int8_job() -> Job:
    torch.manual_seed(0)
    lowered = lower(build(lambda: Net().eval(), input_size=SIZE))
    return make_job(calibrate(lowered, [torch.rand(3, *SIZE).numpy() for _ in range(2)]), "onnx", "int8", "float")


def raised(work: Callable[[], object]) -> Exception:
    """What a call raises."""
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def translate(nodes: Sequence[Node], wrong: str) -> None:
    """A converter's loop over its nodes, that fails at one."""
    for node in nodes:
        if node.name == wrong:
            raise KeyError("no such kernel")


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize(
    ("name", "operator", "layer"),
    [
        ("asinh", "asinh", "blocks.0"),
        ("asinh_1", "asinh", "blocks.1"),
        ("softplus_1", "softplus", "blocks.1.act"),
        ("tan", "tan", ""),
    ],
)
def test_the_node_that_a_loop_stands_at(decomposed: bool, name: str, operator: str, layer: str, job: Job) -> None:
    program = job.program
    with quiet():
        graph = program.run_decompositions({}).graph if decomposed else program.graph
    assert culprit_of(raised(lambda: translate(list(graph.nodes), name)), job) == Culprit(operator, layer)


def test_it_is_found_behind_errors_that_were_raised_from_it(job: Job) -> None:
    class Stops(Interpreter):
        def run_node(self, n: Node) -> object:
            if n.name == "asinh_1":
                raise NotImplementedError
            return super().run_node(n)

    def convert() -> None:
        try:
            Stops(named_module(job.program)).run(*job.model.example())
        except Exception:
            raise ValueError("unsuccessful") from None

    def convert_again() -> None:
        try:
            convert()
        except ValueError as error:
            raise RuntimeError("this is step 3/3") from error

    assert culprit_of(raised(convert), job) is None  # `from None` says that the first error does not matter
    assert culprit_of(raised(convert_again), job) is None

    def keep() -> None:
        try:
            Stops(named_module(job.program)).run(*job.model.example())
        except Exception as error:
            raise RuntimeError("this is step 3/3") from error

    assert culprit_of(raised(keep), job) == Culprit("asinh", "blocks.1")


@pytest.mark.parametrize(
    ("text", "operator", "layer"),
    [
        ('error: "softplus_1;"("softplus_1"("tflite.py":97:0)): expects equal types', "softplus", "blocks.1.act"),
        ("While executing %asinh_1 : [num_users=1]", "asinh", "blocks.1"),
        ("Non-zero status code returned while running node_asinh", "asinh", "blocks.0"),
    ],
)
def test_the_operator_that_a_text_quotes(text: str, operator: str, layer: str, job: Job) -> None:
    assert culprit_of(ValueError(text), job) == Culprit(operator, layer)

    def prints() -> None:
        with quiet():
            print(text)
            raise ValueError("failed")

    assert culprit_of(raised(prints), job) == Culprit(operator, layer)


def test_a_word_that_is_an_operator_by_chance_is_none(job: Job) -> None:
    assert culprit_of(ValueError("asinh tan conv2d"), job) is None
    assert culprit_of(ValueError("'nothing' here"), job) is None


def test_what_a_rule_made_of_a_layer_is_still_that_layer(job: Job) -> None:
    layers = {node.name: layer_of(node) for node in job.program.graph.nodes if node.op == "call_function"}
    assert list(dict.fromkeys(layers.values())) == [
        *("stem", "blocks.0.conv", "blocks.0.act", "blocks.0", "blocks.1.conv", "blocks.1.act", "blocks.1", "", "head")
    ]
    assert layers["reshape"] == "head"  # there is none in the network: it is a part of a transposed convolution's new form


def test_int8_names_the_layer_for_a_recipe(int8_job: Job) -> None:
    nodes = list(int8_job.program.graph.nodes)
    culprit = culprit_of(raised(lambda: translate(nodes, "conv2d_1")), int8_job)
    assert culprit is not None
    assert (culprit.operator, culprit.name) == ("conv2d", "conv2d_1")
    assert culprit.layer.startswith("blocks.0.")
    tries = tries_of("onnx", "int8", culprit)
    assert tries[:2] == ["-p w8 or -p fp16", "a --recipe that keeps conv2d_1 in float"]
    assert culprit_of(raised(lambda: translate(nodes, "asinh")), int8_job) == Culprit("asinh", "blocks.0")


def test_one_line_with_all_of_it(job: Job) -> None:
    with pytest.raises(ConversionError) as caught, explained(job, "converting"):
        translate(list(job.program.graph.nodes), "softplus")
    expected = (
        f"converting {job.model.spec.name} for onnx fp32 failed at softplus in layer blocks.0.act: KeyError: no such kernel; "
        "try another target (-t tflite or -t coreml), other operators in place of softplus"
    )
    assert str(caught.value) == expected
    assert (caught.value.operator, caught.value.layer) == ("softplus", "blocks.0.act")


def test_what_a_converter_held_is_let_go_while_the_error_is_kept(job: Job) -> None:
    held: list[weakref.ref[nn.Module]] = []

    def convert() -> None:
        network = nn.ReLU()
        held.append(weakref.ref(network))
        raise ValueError

    with pytest.raises(ConversionError) as caught, explained(job, "converting"):
        convert()
    assert caught.value.__cause__ is not None
    assert held[0]() is None


@pytest.mark.parametrize("error", [CheckError("c"), RequestError("r"), OSError(28, "full"), KeyboardInterrupt(), SystemExit(3)])
def test_what_has_a_meaning_of_its_own_passes(error: BaseException, job: Job) -> None:
    for guard in (explained(job, "converting"), explained_as("calibrating", "-p w8")):
        with pytest.raises(type(error)) as caught, guard:
            raise error
        assert caught.value is error


def test_one_of_ours_passes_unless_an_operator_can_be_added(job: Job) -> None:
    error = ToolError("onnxruntime is missing")
    with pytest.raises(ToolError) as caught, explained(job, "checking"):
        raise error
    assert caught.value is error
    with (
        pytest.raises(ConversionError, match=r"failed at tan in the network's own forward: cannot run 'tan'; try"),
        explained(job, "checking"),
    ):
        raise ToolError("cannot run 'tan'")


def test_without_a_job_the_reason_is_said_all_the_same() -> None:
    says = r"^calibrating net for int8 failed: IndexError: tuple; try -p w8$"
    with pytest.raises(ConversionError, match=says), explained_as("calibrating net for int8", "-p w8"):
        raise IndexError("tuple")


def test_a_network_that_cannot_be_exported_again_hides_nothing(job: Job) -> None:
    broken = dataclasses.replace(job, target="nothing")
    assert culprit_of(ValueError("'asinh'"), broken) is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("torch.complex64\n\nWhile executing %x"), "KeyError: torch.complex64"),
        (KeyError(), "KeyError"),
        (ToolError("ours"), "ours"),
        (ValueError("two\nlines\n\nmore"), "ValueError: two lines"),
        (ValueError("\x1b[96mblue\x1b[0m"), "ValueError: blue"),
    ],
)
def test_the_reason_is_the_first_paragraph(error: Exception, text: str) -> None:
    assert reason_of(error) == text
    outer = RuntimeError("step 3/3")
    outer.__cause__ = error
    assert reason_of(outer) == text


def test_what_to_try_exists() -> None:
    assert tries_of("coreml", "fp32") == ["another target (-t tflite or -t onnx)"]
    assert tries_of("onnx", "w8", Culprit("tan", "")) == [
        "another target (-t tflite or -t coreml)",
        "other operators in place of tan",
    ]
