"""Usage errors on one line, help without types of flags, one number for a pair, and names with commas."""

from __future__ import annotations

import pytest

from onenet.cli.command import doubled
from onenet.errors import RequestError
from onenet.exporters.options import ExportOptions
from onenet.targets import check_pair
from tests.unit.cli.invoked import refused, run


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("--input-size 64", "--input-size 64 64"),
        ("--input-size 64 48", "--input-size 64 48"),
        ("--input-size 64x48", "--input-size 64 48"),
        ("--input-size 64,48", "--input-size 64 48"),
        ("--input-size=64", "--input-size 64 64"),
        ("--input-size=64x48 --int8", "--input-size 64 48 --int8"),
        ("--input-size 64 --int8", "--input-size 64 64 --int8"),
        ("-t onnx --input-size 64 -p int8", "-t onnx --input-size 64 64 -p int8"),
        ("--input-size small", "--input-size small small"),
        ("--classes 2", "--classes 2"),
    ],
)
def test_one_number_is_both(given: str, read: str) -> None:
    assert " ".join(doubled(given.split())) == read


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("export", "--wieghts", "a.pt"), "No such option: --wieghts"),
        (("export", "--wieghts", "a.pt"), "--weights"),
        (("exprt",), "Did you mean 'export'"),
        (("models", "shw"), "Did you mean 'show'"),
        (("export", "--input-size", "small"), "Invalid value for '--input-size'"),
        (("export", "--target"), "Option '--target' requires an argument"),
        (("run",), "Missing argument 'ARTIFACT'; see onenet run --help"),
        (("export", "--classes", "0"), "Invalid value for '--classes'"),
        (("export", "stray"), "unexpected extra argument"),
    ],
)
def test_usage_errors_are_one_line(arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(*arguments)


@pytest.mark.parametrize("command", ["export", "run", "verify", "bench", "report", "compare", "doctor", "models"])
def test_help_shows_no_types(command: str) -> None:
    text = run(command, "--help").stdout
    assert "--help" in text and "<" not in text.replace("<a", "")


def test_a_group_without_a_command_shows_its_help() -> None:
    assert "Usage: onenet" in run().output
    assert run("models").exit_code == run("models", "list").exit_code == 0
    assert run("models").stdout == run("models", "list").stdout


def test_names_with_commas() -> None:
    options = ExportOptions(target=("tflite,onnx", "coreml"), precision="fp32, int8")
    assert options.target == ("tflite", "onnx", "coreml") and options.precision == ("fp32", "int8")
    with pytest.raises(RequestError, match="target 'tflit' is not known; supported: tflite, onnx, coreml; did you mean tflite"):
        check_pair("tflit", "fp32", "float")
    assert "did you mean onenet-ed4?" in refused("models", "show", "onenet_ed4")
