"""A converter that fails ends in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from onenet.base.quiet import last_lines, quiet
from onenet.errors import CheckError, ConversionError
from onenet.exporters.exporter import Exporter
from onenet.exporters.fallback import run_converter
from onenet.exporters.job import Job
from onenet.exporters.pipeline import make_job
from onenet.models.build import build


@pytest.fixture(scope="module")
def job() -> Job:
    torch.manual_seed(0)
    return make_job(build(lambda: nn.Conv2d(3, 2, 1), input_size=(8, 8)), "onnx", "fp32", "float")


class Failing(Exporter):
    """A converter that prints and then raises what it is given."""

    def __init__(self, error: BaseException, *lines: str) -> None:
        self.error, self.lines = error, lines

    def convert(self, job: Job, path: Path) -> None:
        del job, path
        with quiet():
            for line in self.lines:
                print(line)
            raise self.error


def test_it_says_what_failed_and_what_to_try_and_keeps_what_was_printed(job: Job, tmp_path: Path) -> None:
    exporter = Failing(ValueError("\n no \x1b[96mkernel\x1b[0m\n\nsecond"), "first", "", "E0001 op is not legal")
    with pytest.raises(ConversionError) as caught:
        run_converter(exporter, job, tmp_path / "net")
    name = job.model.spec.name
    tries = "try another target (-t tflite or -t coreml)"
    assert str(caught.value) == f"converting {name} for onnx fp32 failed: ValueError: no kernel; {tries}"
    assert last_lines(caught.value) == ("first", "E0001 op is not legal")


@pytest.mark.parametrize("error", [CheckError("ours"), OSError(28, "full"), KeyboardInterrupt()])
def test_what_has_a_meaning_of_its_own_passes(error: BaseException, job: Job, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught:
        run_converter(Failing(error), job, tmp_path / "net")
    assert caught.value is error
