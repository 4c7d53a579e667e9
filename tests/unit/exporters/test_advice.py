"""A line where int8 keeps little, which says what to do; none where it keeps enough."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.base.quiet import quiet
from onenet.exporters.advice import USUAL_DB, advise, advise_on_speed
from onenet.exporters.job import Job
from onenet.exporters.pipeline import make_job
from tests.conftest import enliven, smooth_images

SIZE = (16, 24)
IMAGES = smooth_images(6, 3, *SIZE)


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        self.small, self.large = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(F.relu(self.first(image)))


class Hidden(Plain):
    """What counts is small beside another channel of the same tensor: nothing of it is left in 256 steps."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        wide = torch.cat([torch.sigmoid(self.small(image)), self.large(image) * 3000], 1)
        return self.last(F.relu(self.first(image))), F.max_pool2d(wide, 3, 3)[:, :8]


def job_of(net: nn.Module) -> Job:
    enliven(net, torch.from_numpy(IMAGES))
    with quiet():
        quantized = onenet.calibrate(onenet.lower(onenet.build(net.eval(), input_size=SIZE)), list(IMAGES))
    return make_job(quantized, "onnx", "int8", "float")


def test_enough_is_not_talked_of() -> None:
    assert advise(job_of(Plain()), [{"image": IMAGES[:1]}, {"image": IMAGES[1:2]}], "2 samples") == ""


def test_an_output_that_keeps_little_is_named_with_a_way_out() -> None:
    line = advise(job_of(Hidden()), [{"image": IMAGES[:1]}], "1 sample")  # the first output is good
    start, _, rest = line.partition(" dB of output_1")
    assert float(start.rpartition(" ")[2]) < USUAL_DB
    assert start.startswith("int8 of Hidden keeps ")
    assert rest.startswith(" on 1 sample; it falls below 20 dB at layer ")
    assert rest.endswith(". Keep layers in float with --min-sqnr 20 or --max-drop 1, or take -p w8")
    assert "\n" not in line


def test_many_outputs_are_one_line() -> None:
    class Five(Hidden):
        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            small = super().forward(image)[1]
            return tuple(small * factor for factor in (1, 2, 3, 5, 7))

    line = advise(job_of(Five()), [{"image": IMAGES[:1]}], "1 sample")
    assert all(f" dB of output_{k}" in line for k in (1, 2)), line
    assert line.count(" dB of ") == 3
    assert " and 2 more on 1 sample; it falls below 20 dB at layer " in line


@pytest.mark.parametrize("precision", ["fp32", "w8"])
def test_only_int8_has_a_program_to_be_judged(precision: str) -> None:
    model = onenet.lower(onenet.build(Plain().eval(), input_size=SIZE))
    job = make_job(model, "onnx", precision, "float")
    assert advise(job, [{"image": np.zeros((1, 3, *SIZE), np.float32)}], "zeros") == ""


class Curved(Plain):
    """Half of its operators have no int8 form."""

    def forward(self, image: Tensor) -> Tensor:
        return self.last(F.mish(F.gelu(self.first(image))))


def test_much_in_float_is_said() -> None:
    line = advise_on_speed(job_of(Curved()))
    assert line == (
        "int8 of Curved computes 50% of its operators in float: gelu, mish. It may be no faster than fp32: "
        "measure both with onenet bench"
    )


def test_little_in_float_is_no_reason_to_warn() -> None:
    assert advise_on_speed(job_of(Plain())) == ""
