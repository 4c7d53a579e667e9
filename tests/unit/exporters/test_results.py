"""What an export gives, as a person, a notebook and a program read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from onenet.errors import CheckError, ConversionError, OneNetError, RequestError, ToolError
from onenet.exporters.results import ExportedArtifact, Exports, FailedExport
from onenet.runtimes.parity import Check, Verification
from onenet.runtimes.quality import Quality
from onenet.runtimes.session import RuntimeInfo


def artifact(name: str, passed: bool | None = True, scores: dict[str, float] | None = None) -> ExportedArtifact:
    checks = (Check("bytes", None, "no manifest beside it"), Check("values", passed, ""))
    verification = Verification(name, "onnx", "int8", RuntimeInfo("r", "1", "exact"), checks)
    quality = Quality(8, 34.56, 0.991, scores or {"miou": 0.8765}, {"miou": 0.88})
    return ExportedArtifact(
        Path(name), {"task": "segmentation", "target": "onnx", "precision": "int8"}, 968699, 3.21, verification, quality
    )


def test_results_are_readable() -> None:
    one = artifact("build/<net>.onnx")
    assert repr(one) == "<build/<net>.onnx: size 968.7 kB, SQNR 34.6 dB, labels 99.10%, mIoU 0.8765, checked yes>"
    page = Exports([one, artifact("b.onnx", None)])._repr_html_()
    assert page.count("<tr>") == 3
    assert "&lt;net&gt;.onnx" in page and "<net>" not in page
    assert "all but values" in page
    assert repr(Exports([one])) == f"[{one!r}]"


def test_results_as_json() -> None:
    content = artifact("a.onnx").as_dict()
    keys = {"path", "target", "precision", "bytes", "seconds", "verification", "quality", "preview", "cautions", "failed"}
    assert set(content) == keys
    assert (content["seconds"], content["preview"], content["failed"]) == (3.21, None, None)


def failed(error: OneNetError, target: str = "coreml") -> FailedExport:
    return FailedExport(target, "fp32", error)


def test_what_failed_is_shown_with_its_reason() -> None:
    one = failed(ConversionError("failed at asinh <here>", "asinh", "blocks.0"))
    exports = Exports([artifact("a.onnx")], [one])
    assert repr(exports).splitlines()[1] == " <coreml fp32 failed: failed at asinh <here>>]"
    page = exports._repr_html_()
    assert page.count("<tr>") == 3
    assert "<td>coreml fp32</td>" in page and "<td>failed</td>" in page
    assert page.endswith("<p>failed at asinh &lt;here&gt;</p>")
    reason = {
        "error": "ConversionError",
        "reason": "failed at asinh <here>",
        "operator": "asinh",
        "layer": "blocks.0",
        "printed": [],
    }
    assert one.as_dict() == {"target": "coreml", "precision": "fp32", "failed": reason}
    wrong = {**reason, "error": "CheckError", "reason": "wrong", "operator": "", "layer": ""}
    assert failed(CheckError("wrong")).as_dict()["failed"] == wrong


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([ToolError("a")], 3),
        ([RequestError("a")], 2),
        ([RequestError("a"), ConversionError("b")], 3),
        ([ToolError("a"), CheckError("b")], 1),
    ],
)
def test_the_exit_code_is_that_of_a_failed_check_or_else_of_the_worst_error(errors: list[OneNetError], code: int) -> None:
    assert Exports([artifact("a.onnx")], map(failed, errors)).exit_code == code


def test_nothing_is_raised_while_something_was_made() -> None:
    Exports([artifact("a.onnx")], [failed(ToolError("a"))]).raise_failed()
    Exports().raise_failed()


def test_where_nothing_was_made_the_only_reason_is_raised_or_all_of_them() -> None:
    error = ConversionError("a", "asinh")
    with pytest.raises(ConversionError) as caught:
        Exports([], [failed(error), failed(error, "onnx")]).raise_failed()
    assert caught.value is error
    with pytest.raises(CheckError) as several:
        Exports([], [failed(error), failed(CheckError("b"), "onnx")]).raise_failed()
    assert str(several.value) == "nothing could be exported: coreml fp32: a; onnx fp32: b"
