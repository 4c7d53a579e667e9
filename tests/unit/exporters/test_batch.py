"""``export_all`` from Python: refusals before any work, and what its results look like."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import onenet
from onenet.base.progress import Progress
from onenet.errors import RequestError
from onenet.exporters.batch import export_all
from onenet.exporters.options import ExportOptions
from onenet.exporters.results import ExportedArtifact, Exports
from onenet.runtimes.parity import Check, Verification
from onenet.runtimes.quality import Quality
from onenet.runtimes.session import RuntimeInfo


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"target": "nothing"}, "target 'nothing' is not known"),
        ({"kernel": 3, "no_spatial": True}, "--kernel and --no-spatial exclude each other"),
        ({"tile": 0}, "a tile of 0 pixels was asked for"),
        ({"min_sqnr": 3.0}, "--min-sqnr only changes int8"),
        ({"int8": True, "min_sqnr": 3.0, "max_drop": 1.0}, "give one budget"),
    ],
)
def test_it_is_refused_before_any_work(given: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onenet.exporters.batch.need_converters", lambda: pytest.fail("work was begun"))
    with pytest.raises(RequestError, match=says):
        onenet.export_all(ExportOptions(**given))


def test_it_tells_its_steps_and_warns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[str] = []

    class Told(Progress):
        def start(self, step: str, total: int | None = None) -> None:
            del total
            told.append(step)

    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    monkeypatch.setattr("onenet.exporters.batch.lower_quietly", stop)
    options = ExportOptions(random_weights=True, width=2, no_spatial=True, input_size=(16, 32), int8=True, out=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Stop):
            export_all(options, Told())
    assert told == ["loading PyTorch", "building the model", "reading the images"]
    with pytest.raises(Stop), pytest.warns(UserWarning, match="calibrating on the shipped nuclei images"):
        export_all(options)


def artifact(name: str, passed: bool | None = True, scores: dict[str, float] | None = None) -> ExportedArtifact:
    checks = (Check("bytes", None, "no manifest beside it"), Check("values", passed, ""))
    verification = Verification(name, "onnx", "int8", RuntimeInfo("r", "1", "exact"), checks)
    quality = Quality(8, 34.56, 0.991, scores or {"miou": 0.8765}, {"miou": 0.88})
    return ExportedArtifact(Path(name), {"target": "onnx", "precision": "int8"}, 968699, 3.21, verification, quality)


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
