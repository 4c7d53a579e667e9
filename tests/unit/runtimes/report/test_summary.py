"""What a report says first: the best of every device, and names."""

from __future__ import annotations

import pytest

from onenet.runtimes.measure import document
from onenet.runtimes.report.summary import best_of_devices, names
from tests.unit.measured import documents, emulated, failing, measurement
from tests.unit.runtimes.report.pages import page

pytest.importorskip("jinja2")


def campaign() -> list[document.Measurement]:
    speeds = {("tflite", "fp32"): 30.0, ("tflite", "int8"): 12.0, ("onnx", "fp32"): 33.0, ("onnx", "int8"): 14.0}
    return [
        measurement(ms * slow, target=target, precision=precision, device=device, threads=(1, 4), seed=i)
        for device, slow in {"local": 1.0, "ssh:pi": 4.0}.items()
        for i, ((target, precision), ms) in enumerate(speeds.items())
    ]


def test_the_best_of_a_device_is_the_fastest_that_is_right() -> None:
    found = campaign()
    best = {each.device.device.name: each for each in best_of_devices(documents(*found))}
    assert set(best) == {"local", "ssh:pi"}
    line = best["local"].line
    assert line is not None
    assert (line.file, line.row.threads) == ("onenet-ed4_int8.tflite", 4)
    assert best["local"].speedup == pytest.approx(2.5, rel=0.05)
    assert best["local"].quality_lost == pytest.approx(0.0004)
    wrong = [failing(each) if each.artifact.precision == "int8" else each for each in found]
    line = best_of_devices(documents(*wrong))[0].line
    assert line is not None
    assert line.file == "onenet-ed4_fp32.tflite"


def test_a_device_where_nothing_is_right_has_no_best() -> None:
    (best,) = best_of_devices(documents(failing(measurement(10))))
    assert best.line is None
    assert "no artifact passes its golden check" in page(failing(measurement(10))).text


def test_emulated_devices_are_shown_but_not_ranked() -> None:
    fast = emulated(measurement(0.001, device="ssh:emu"))
    assert [each.device.device.name for each in best_of_devices(documents(fast, measurement(10)))] == ["local"]
    shown = page(fast, measurement(10))
    assert "TFLite int8 on ssh:emu" in shown.text
    assert "emulated: times and memory mean nothing" in shown.text
    assert "No real device has been measured" in page(fast).text


def test_names_are_short_and_tell_artifacts_apart() -> None:
    assert names(documents(*campaign())) == {
        f"onenet-ed4_{precision}.{target}": f"{name} {precision}"
        for target, name in {"tflite": "TFLite", "onnx": "ONNX"}.items()
        for precision in ("fp32", "int8")
    }
    tiles = names(documents(measurement(file="a_tile32.tflite"), measurement(file="a_tile64.tflite")))
    assert set(tiles.values()) == {"a_tile32.tflite", "a_tile64.tflite"}
    assert "onenet-e4 TFLite int8" in names(documents(measurement(), measurement(model="onenet-e4"))).values()
