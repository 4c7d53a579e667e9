"""The accuracy table: where it goes, what is in it, and what stands there where something could not be measured."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from bench import results
from onenet.calibration.samples import Samples
from onenet.errors import RequestError
from onenet.targets import PRECISIONS, pairs

RUNTIME = {"name": "runtime", "version": "1", "kernels": "plain"}


def row(target: str, precision: str, **changes: Any) -> dict[str, Any]:
    quality = {"sqnr_db": 25.04, "label_agreement": 0.99999, "miou": 0.88, "dice": 0.93, "map50": 0.97}
    full = {"bytes": 975352, "quality": quality, "runtime": RUNTIME, "reason": None}
    return {"target": target, "precision": precision, **full, **changes}


def document(**changes: Any) -> dict[str, Any]:
    """Every artifact measured alike, but those that ``changes`` gives as ``target_precision``."""
    names = pairs()
    means = {"miou": 0.8811, "dice": 0.9311, "map50": 0.9711}
    classes = [
        {"name": "background", "iou": 0.9, "dice": 0.95, "ap50": 1.0},
        {"name": "ghost", "iou": 0, "dice": 0, "ap50": None},
    ]
    model = {
        "name": "net",
        "parameters": 890000,
        "calibration": "abc",
        "float": {**means, "classes": classes},
        "artifacts": [row(t, p, **changes.get(f"{t}_{p}", {})) for t, p in names],
    }
    sets = {"evaluation": Samples("val", {"": np.zeros((2, 1))}, ("b", "a"), ("one.png", "two.png"))}
    sets["calibration"] = Samples("cal", {"": np.zeros((1, 1))}, ("c",), ("three.png",))
    return {"schema": 1, **{key: results.described(each) for key, each in sets.items()}, "models": [model]}


def test_equal_figures_of_the_three_targets_stand_once() -> None:
    other = {**row("onnx", "fp32")["quality"], "miou": 0.879}
    lines = results.readme_text(document(onnx_fp32={"quality": other})).splitlines()
    table = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines if "|" in line}
    assert table[""] == list(PRECISIONS)
    assert table["mIoU (float model 0.8811)"][0] == "0.8800 / 0.8790 / 0.8800"
    assert set(table["mIoU (float model 0.8811)"][1:]) == {"0.8800"}
    assert table["**net**: TFLite / ONNX / Core ML, MB"][0] == "0.98"
    assert table["mAP@0.5 (float model 0.9711)"][0] == "0.9700"
    assert table["labels equal to the float model's"][0] == "99.99 %"  # never rounded up to "all of them"


def test_what_could_not_be_measured_is_a_row_with_its_reason() -> None:
    made = {"quality": None, "reason": "unchecked: no Mac"}
    refused = {"bytes": None, "quality": None, "runtime": None, "reason": "precision 'int8' does not exist"}
    content = document(coreml_fp32=made, coreml_int8=refused)
    assert "| 0.8800 / 0.8800 / – |" in results.readme_text(content)
    text = results.markdown(content)
    assert "| coreml | fp32 | 0.98 | – | – | – | – | – | – |" in text
    assert "| coreml | int8 | – | – | – | – | – | – | – |" in text
    assert "* coreml fp32: unchecked: no Mac\n* coreml int8: precision 'int8' does not exist\n" in text
    assert "| tflite | fp32 | 0.98 | 25.0 | 99.99 % | 0.8800 | 0.9300 | 0.9700 | runtime 1, plain |" in text
    assert "| ghost | 0.0000 | 0.0000 | – |" in text


def test_a_set_of_images_is_named_by_its_sorted_ids() -> None:
    found = document()["evaluation"]
    assert found["digest"] == hashlib.sha256(b"a\nb\n").hexdigest()
    assert found["ids"] == {"one.png": "b", "two.png": "a"}
    assert found["images"] == 2


def test_the_table_goes_between_its_markers_and_nowhere_else() -> None:
    page = f"# Title\n\n{results.BEGIN}\nold\n{results.END}\nrest\n"
    once = results.between_markers(page, "new\n")
    assert once == f"# Title\n\n{results.BEGIN}\nnew\n{results.END}\nrest\n"
    assert results.between_markers(once, "new\n") == once


@pytest.mark.parametrize(
    "page",
    [
        "nothing\n",
        f"{results.BEGIN}\n",
        f"{results.END}\n{results.BEGIN}\n",
        f"{results.BEGIN}\n{results.BEGIN}\n{results.END}\n",
        f"{results.BEGIN}\n{results.END}\n{results.END}\n",
    ],
)
def test_a_page_without_one_pair_of_markers_is_refused_before_the_work(page: str) -> None:
    with pytest.raises(RequestError, match="the table has no place"):
        results.between_markers(page, "")


def test_models_that_were_measured_anew_take_their_places() -> None:
    kept, now = document(), document()
    kept["models"] = [{**kept["models"][0], "name": name} for name in ("onenet-ed4", "unet4")]
    now["models"] = [{**now["models"][0], "name": name, "parameters": 1} for name in ("lsnet", "unet4")]
    found = results.among(kept, now)
    assert [(each["name"], each["parameters"]) for each in found["models"]] == [
        ("onenet-ed4", 890000),
        ("unet4", 1),
        ("lsnet", 1),
    ]
    text = results.readme_text(found)
    assert "**onenet-ed4**" in text and "**unet4**" not in text  # the README has the OneNets
    kept["evaluation"] = {**kept["evaluation"], "digest": "other"}
    with pytest.raises(RequestError, match="measured on other evaluation images"):
        results.among(kept, now)
