"""A converter that fails ends in one line, with what it printed last."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from onenet.base.quiet import quiet
from onenet.errors import CheckError, ToolError
from onenet.exporters.exporter import Exporter
from onenet.exporters.job import Job
from onenet.exporters.pipeline import make_job, run_converter
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


def test_its_last_words_are_in_the_error(job: Job, tmp_path: Path) -> None:
    exporter = Failing(ValueError("\n no kernel\nsecond"), "first", "", "E0001 op 'x' is not legal", "see \x1b[31mlog")
    with pytest.raises(ToolError) as caught:
        run_converter(exporter, job, tmp_path / "net")
    text = str(caught.value)
    assert text.startswith("onnx conversion of ")
    assert text.endswith(r"failed: ValueError: no kernel; it printed: first | E0001 op 'x' is not legal | see \x1b[31mlog")
    assert "\n" not in text


def test_one_that_was_silent(job: Job, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"failed: KeyError: 'x'$"):
        run_converter(Failing(KeyError("x")), job, tmp_path / "net")


@pytest.mark.parametrize("error", [CheckError("ours"), OSError(28, "full"), KeyboardInterrupt()])
def test_what_has_a_meaning_of_its_own_passes(error: BaseException, job: Job, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught:
        run_converter(Failing(error), job, tmp_path / "net")
    assert caught.value is error
