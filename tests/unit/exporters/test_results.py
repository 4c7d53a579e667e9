"""What an export gives, as a person, a notebook and a program read it."""

from __future__ import annotations

from pathlib import Path

from onenet.exporters.results import ExportedArtifact, Exports
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
    assert set(content) == {"path", "target", "precision", "bytes", "seconds", "verification", "quality", "preview"}
    assert (content["seconds"], content["preview"]) == (3.21, None)
