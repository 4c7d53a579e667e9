"""A converter that fails ends in one line."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from onenet.base.progress import Progress
from onenet.base.quiet import last_lines, quiet
from onenet.errors import CheckError, ConversionError
from onenet.exporters import pipeline
from onenet.exporters.exporter import Exporter
from onenet.exporters.fallback import run_converter
from onenet.exporters.job import Job
from onenet.exporters.pipeline import make_job
from onenet.lowering import ArrangedModule, RuleResult
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


SIZES = {True: 3_000_000, False: 2_000_000}
"""Bytes of a file with and without Winograd's method."""


def written(job: Job, path: Path, *_: object) -> tuple[Job, dict[str, object]]:
    path.write_bytes(bytes(SIZES[job.winograd]))
    return job, {}


@pytest.fixture
def large(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose file is smaller without Winograd's method."""
    monkeypatch.setattr(pipeline, "make", written)
    made = dataclasses.replace(job)
    made.__dict__["arranged"] = ArrangedModule(made.arranged.module, (RuleResult("winograd", "", 1),))
    return made


@pytest.mark.parametrize("most", [None, 3_000_000])
def test_a_file_that_fits_is_made_once(most: int | None, large: Job, tmp_path: Path) -> None:
    assert pipeline.make_fitting(large, tmp_path, {}, Progress(), most)[0] is large


def test_what_costs_space_is_left_out_of_one_that_does_not(large: Job, tmp_path: Path) -> None:
    name = large.file_name
    says = f"{name} takes 3.00 MB, at most 2.99 MB was asked for: made without winograd, which is faster and larger"
    with pytest.warns(UserWarning, match=re.escape(says)):
        made, _ = pipeline.make_fitting(large, tmp_path, {}, Progress(), 2_990_000)
    assert (tmp_path / made.file_name).stat().st_size == 2_000_000
    assert made.stem == f"{large.stem}_direct"


def test_one_that_is_larger_still_is_refused(large: Job, tmp_path: Path) -> None:
    says = "_direct.onnx takes 2.00 MB, at most 1.0 kB was asked for, and there is no smaller form; try -p fp16 or -p int8"
    with pytest.warns(UserWarning, match="made without winograd"), pytest.raises(CheckError, match=re.escape(says)):
        pipeline.make_fitting(large, tmp_path, {}, Progress(), 1000)
