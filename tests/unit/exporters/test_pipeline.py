"""A converter that fails ends in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from onenet.base.quiet import last_lines, quiet
from onenet.errors import CheckError, ConversionError
from onenet.exporters import pipeline
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


def manifest(applied: int) -> dict[str, object]:
    rules = [{"rule": "requantize", "applied": 2}, {"rule": "winograd", "applied": applied}]
    return {"lowering": {"target_rules": rules}}


@pytest.mark.parametrize("most", [None, 3_000_000])
def test_a_file_that_fits_is_kept(most: int | None, job: Job) -> None:
    assert pipeline.costly_rules(job, manifest(1), 3_000_000, most) == []


def test_what_costs_space_is_left_out_of_one_that_does_not(job: Job) -> None:
    assert pipeline.costly_rules(job, manifest(1), 3_000_000, 2_990_000) == ["winograd"]


def test_one_without_a_smaller_form_is_refused(job: Job, tmp_path: Path) -> None:
    says = f"{job.file_name} takes 2.00 MB, at most 1.0 kB was asked for, and there is no smaller form; try -p fp16 or -p int8"
    with pytest.raises(CheckError, match=re.escape(says)):
        pipeline.costly_rules(job, manifest(0), 2_000_000, 1000)
    with pytest.raises(CheckError, match=r"onnx takes .* at most 0.1 kB was asked for"), quiet():
        pipeline.export(job.model, target="onnx", out=tmp_path, max_size=100, verify=False)
    assert not list(tmp_path.iterdir())


def test_an_export_without_it_fits(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def costly(job: Job, *_: object) -> list[str]:
        asked.append(job.winograd)
        return ["winograd"] if job.winograd else []

    monkeypatch.setattr(pipeline, "costly_rules", costly)
    with pytest.warns(UserWarning, match="is made without winograd: it takes"):
        made = pipeline.export(job.model, target="onnx", out=tmp_path, max_size=1, verify=False)
    assert asked == [True, False]
    assert made.path.stem == f"{job.stem}_direct"
    assert made.path.is_file()
