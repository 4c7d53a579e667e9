"""The fields of ``ExportOptions``: what they take, and what an entry of a campaign may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from onenet.errors import RequestError
from onenet.exporters.options import ExportOptions, option_of
from onenet.tasks import TASKS, Metric, Task


class Depth(Task):
    """A task with an output and a figure that no other has."""

    name = title = "depth"
    output_roles = ("logits", "scores")
    metrics = (Metric("delta", "delta", headline=True),)


def test_lists_of_numbers_and_names() -> None:
    options = ExportOptions.from_entry({"mean": [0.5, 0.25, 0], "class-names": ["a", "b c"], "std": "imagenet"})
    assert (options.mean, options.class_names, options.std) == ("0.5,0.25,0", "a,b c", "imagenet")
    with pytest.raises(RequestError, match="class-names takes a text"):
        ExportOptions.from_entry({"class-names": ["a, b", "c"]})


def test_defaults_are_the_command_s() -> None:
    options = ExportOptions()
    assert (list(options.target), options.precisions) == (["tflite"], ["fp32"])
    assert (options.out, options.verify, options.preview, options.winograd) == (Path("build"), True, False, True)


def test_int8_is_one_more_precision() -> None:
    assert ExportOptions(int8=True).precisions == ["int8"]
    assert ExportOptions(int8=True, precision=("fp32", "w8")).precisions == ["fp32", "w8", "int8"]


def test_one_stands_for_a_list_and_a_text_for_a_path() -> None:
    options = ExportOptions(target="onnx", out="there", input_size=[3, 4], max_drop=1)  # type: ignore[arg-type]
    assert options == ExportOptions(target=("onnx",), out=Path("there"), input_size=(3, 4), max_drop=1.0)
    assert isinstance(options.max_drop, float)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"targt": "x"}, "'targt' is no option of an export; did you mean target"),
        ({"--x; rm": "x"}, "'--x; rm' is no option of an export"),
        ({"calibration_samples": 4}, "did you mean calibration-samples"),
        ({"int8": 1}, "int8 takes true or false, found 1"),
        ({"width": 0}, "width takes a whole number from 1, found 0"),
        ({"width": True}, "width takes a whole number from 1, found True"),
        ({"max-drop": -1}, "max-drop takes a number from 0, found -1"),
        ({"min-sqnr": "34"}, "min-sqnr takes a number, found '34'"),
        ({"target": ["onnx", 1]}, r"target takes a text or a list of texts, found \['onnx', 1\]"),
        ({"input-size": [1, 2, 3]}, r"input-size takes two whole numbers, found \[1, 2, 3\]"),
        ({"out": 3}, "out takes a path, found 3"),
        ({"model": None}, "model takes a text, found None"),
        ({"max-size": "5 apples"}, "max-size takes a size such as 800kB or 2.5MB, found '5 apples'"),
        ({"max-size": 0}, "max-size takes a size such as 800kB or 2.5MB, found 0"),
        ({"max-size": True}, "max-size takes a size"),
    ],
)
def test_an_entry_is_held_against_the_fields(entry: dict[str, object], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        ExportOptions.from_entry(entry)


@pytest.mark.parametrize(
    ("given", "size"),
    [(1200, 1200), ("1200", 1200), ("1200B", 1200), ("800kB", 800_000), ("2.5 MB", 2_500_000), ("1gb", 10**9), (None, None)],
)
def test_a_size_has_decimal_units(given: object, size: int | None) -> None:
    assert ExportOptions(max_size=given).max_size == size  # type: ignore[arg-type]  # read as from the command line


def test_an_entry_has_the_long_names() -> None:
    entry = {"calibration-samples": 4, "no-spatial": True, "evaluation": None, "precision": []}
    assert ExportOptions.from_entry(entry) == ExportOptions(calibration_samples=4, no_spatial=True)


def test_help_names_what_the_tasks_have(monkeypatch: pytest.MonkeyPatch) -> None:
    assert option_of("output").text == "What the network returns: logits, probabilities or labels."
    assert "the drop of mIoU to this" in option_of("max_drop").text
    monkeypatch.setattr(TASKS, "cards", lambda: {"depth": Depth()})
    assert option_of("output").text == "What the network returns: logits or scores."
    assert "the drop of delta to this" in option_of("max_drop").text
