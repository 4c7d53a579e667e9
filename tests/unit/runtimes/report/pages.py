"""Reports that several tests look at."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from onenet.errors import ToolError
from onenet.runtimes.measure import document
from onenet.runtimes.measure.budget import Gate
from onenet.runtimes.measure.documents import Documents, failure_document
from onenet.runtimes.report import extras
from onenet.runtimes.report.extras import Extras
from onenet.runtimes.report.page import Report, render
from tests.unit.measured import content, documents, emulated, measurement, states

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>`[a](javascript:b)`|*_=cmd\n| x {{ 12345679*9 }} @everyone"


def rich() -> Report:
    minutes = [{"minute": i + 1, "n": 50, "p50_ms": 10.0 + i, "p90_ms": 12.0 + i, "p99_ms": 14.0 + i} for i in range(5)]
    sustained = measurement(10, row={"sustained": {"minutes": minutes, "drop_percent": 40.0}, "states": states(20)})
    times = [{"name": f"conv2d_{i}", "type": "CONV_2D", "ms": 1.0} for i in range(20)]
    profiled = measurement(12, target="onnx", operators={"counts": {"Conv": 20}, "partitions": None, "times": times})
    unfit = measurement(40, device="ssh:pi", warnings=[{"name": "throttled", "detail": "under-voltage"}])
    failures = (failure_document("lost.tflite", "adb", ToolError("the device went away")),)
    return Report(Documents((sustained, profiled, unfit, emulated(measurement(10, device="ssh:emu"))), failures))


def hostile() -> Report:
    """Everything that a device or a file may write, in every place where it may write text."""
    made = content(10, device="ssh:" + HOSTILE, row={"peak_method": HOSTILE, "states": states(3)})
    made["tool"] = made["timed"] = HOSTILE
    for key in ("file", "model", "target"):
        made["artifact"][key] = HOSTILE
    for key in ("model", "cpu", "system", "machine", "libc", "python", "emulated"):
        made["device"][key] = HOSTILE
    made["device"] |= {"features": [HOSTILE], "emulated": None}
    made["runtime"] = dict.fromkeys(("name", "version", "kernels"), HOSTILE)
    made["parity"] |= {"passed": False, "checks": [{"name": "values " + HOSTILE, "passed": False, "detail": HOSTILE}]}
    made["plan"] = {HOSTILE: [HOSTILE]}
    made["operators"] = {"counts": {HOSTILE: 1}, "times": [{"name": HOSTILE, "type": HOSTILE, "ms": 1.0}]}
    made["warnings"] = [{"name": HOSTILE, "detail": HOSTILE}]
    made["artifact"]["quality"] = {HOSTILE: 1.0, "miou": 0.5, "sqnr_db": 20.0}
    for state in made["rows"][0]["states"]:
        state |= {"temperature_c": {HOSTILE: 50.0}, "governor": HOSTILE, "throttled": HOSTILE, "power": HOSTILE}
    minutes = [{"minute": 1, "n": 1, "p50_ms": 1.0, "p90_ms": 1.0, "p99_ms": 1.0}]
    made["rows"][0]["sustained"] = {"minutes": minutes, "drop_percent": 0.0}
    other = {**made, "artifact": {**made["artifact"], "file": "=2+2", "precision": "fp32", "sha256": "0" * 64}}
    layer = {"name": HOSTILE, "operators": [HOSTILE], "float_db": 9.0, "reference_float_db": 9.0, "wrong": HOSTILE}
    profile = extras.LayerProfile.model_validate(
        {
            "artifact": HOSTILE,
            "target": HOSTILE,
            "precision": HOSTILE,
            "layers": [layer, {**layer, "name": "b", "operators": ["b"]}],
        }
    )
    gate = Gate(HOSTILE, 1.0, 2.0, False, HOSTILE, HOSTILE, HOSTILE)
    found = tuple(document.validate(each, "a test") for each in (made, other))
    return Report(
        Documents(found, (failure_document(HOSTILE, HOSTILE, ToolError(HOSTILE)),)), (gate,), Extras((profile,), (), (HOSTILE,))
    )


def beside(folder: Path, name: str = "onenet-ed4_int8.tflite") -> Path:
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folder / f"{name}.png")
    same = {"reference_float_db": 40.0, "wrong": None, "shape": [1]}
    layers: list[dict[str, Any]] = [
        {"name": f"conv2d_{i}", "operators": [f"conv2d_{i}"], "float_db": 40.0 - i, **same} for i in range(5)
    ]
    layers[3]["wrong"] = "9 int8 steps off"
    profile = {"artifact": name, "target": "tflite", "precision": "int8", "layers": layers, "missing": [], "passed": False}
    (folder / f"{name}.layers.json").write_text(json.dumps(profile))
    return folder


class Page(HTMLParser):
    """Elements, their attributes, and the text between them; entities decoded as a browser does."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "br", "rect", "path", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(*measurements: document.Measurement, **more: Any) -> Page:
    found = Page(render(Report(documents(*measurements), **more)))
    assert found.open == []
    return found
