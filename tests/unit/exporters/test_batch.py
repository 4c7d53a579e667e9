"""``export_all`` from Python: refusals before any work, steps and warnings."""

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
