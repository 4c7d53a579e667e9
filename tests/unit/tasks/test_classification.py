"""Labels, ties, top-1 and top-5, labelled folders and what ``run`` makes of an image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onenet.errors import RequestError
from onenet.runtimes.parity import asked_of
from onenet.runtimes.quality import quality
from onenet.runtimes.values import Known, int8_limits, judge
from onenet.spec import ClassSpec, Role, TensorSpec, numbered_classes
from onenet.tasks.classification import TASK, class_numbers, probabilities_of
from onenet.tasks.image import ImageModel

LOGITS = TensorSpec("logits", "logits", (1, 7), "NC")
NAMED = tuple(ClassSpec(name, "#000000") for name in ("cat", "dog", "emu"))


def logits(rows: int = 40, classes: int = 7) -> np.ndarray:
    """A clear first class in each row, 4 above all others."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (rows, classes)).astype(np.float32)
    values[np.arange(rows), rng.integers(0, classes, rows)] += 4
    return values


def flipped(values: np.ndarray, count: int) -> np.ndarray:
    """Another first class in the first so many rows."""
    changed = values.copy()
    changed[:count] = np.roll(changed[:count], 1, 1)
    return changed


# --- agreement ----------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 40])
def test_agreement_is_the_share_of_equal_first_classes(count: int) -> None:
    reference = logits()
    assert TASK.agreement(reference, flipped(reference, count), "logits") == 1 - count / 40


def test_a_tie_is_solved_by_either_class_and_only_by_these() -> None:
    reference = np.array([[1.0, 0.95, 0.5]])
    second, third = np.array([[0.0, 1.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    assert TASK.agreement(reference, second, "logits", margin=0.1) == 1.0
    assert TASK.agreement(reference, second, "logits", margin=0.01) == 0.0
    assert TASK.agreement(reference, third, "logits", margin=0.1) == 0.0


@pytest.mark.parametrize("precision", ["fp32", "fp16", "w8"])
def test_one_other_first_class_fails_every_float_precision(precision: str) -> None:
    reference = logits(1)
    limits, known = asked_of("onnx", precision, TASK, LOGITS), Known(reference, reference)
    passed, detail = judge(TASK, LOGITS, limits, known, reference.copy())
    assert passed and "top-1 classes agree on 100.00% (>= 99%)" in detail
    passed, detail = judge(TASK, LOGITS, limits, known, flipped(reference, 1))
    assert passed is False and "top-1 classes agree on 0.00%" in detail


def test_another_first_class_of_int8_shows_where_the_values_are_near() -> None:
    """Two classes change places: few values are another, the label is."""
    reference = np.array([[1.0, 0.5] + [0.0] * 98], np.float32)
    program = reference + 0.02 * np.float32(np.random.default_rng(0).choice([-0.5, 0.5], reference.shape))
    found = program.copy()
    found[0, :2] = found[0, 1::-1]
    known = Known(reference, program, step=0.02)
    limits = int8_limits(TASK, LOGITS, known)
    assert judge(TASK, LOGITS, limits, known, program)[0] is True
    passed, detail = judge(TASK, LOGITS, limits, known, found)
    assert passed is False and "top-1 classes agree on 0.00%" in detail


# --- scores -------------------------------------------------------------


@pytest.mark.parametrize("role", ["logits", "probabilities", "labels"])
def test_top_1_and_top_5(role: Role) -> None:
    reference = logits()
    truth = reference.argmax(1)
    found = flipped(reference, 10)
    given = [
        v.argmax(1) if role == "labels" else probabilities_of(v, "logits", 7) if role == "probabilities" else v
        for v in (reference, found)
    ]
    result = quality(TASK, role, *given, truth, 7)
    assert result.label_agreement == result.scores["top1"] == 0.75
    assert result.float_scores["top1"] == 1.0
    if role == "labels":
        assert set(result.scores) == {"top1"}
    else:
        expected = np.mean([t in np.argsort(-row)[:5] for t, row in zip(truth, found, strict=True)])
        assert result.scores["top5"] == result.scores["top5_agreement"] == pytest.approx(expected)
        assert expected < 1 and result.float_scores == {"top1": 1.0, "top5": 1.0}


def test_five_classes_have_no_top_5() -> None:
    values = logits(classes=5)
    assert quality(TASK, "logits", values, values, values.argmax(1), 5).scores == {"top1": 1.0}


def test_probabilities() -> None:
    assert probabilities_of(np.array([[1000.0, 1000.0]]), "logits", 2).tolist() == [[0.5, 0.5]]
    assert probabilities_of(np.array([1]), "labels", 3).tolist() == [[0, 1, 0]]


# --- labelled folders ---------------------------------------------------


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        (["cat", "emu"], NAMED, {"cat": 0, "emu": 2}),
        (["10", "2"], numbered_classes(11), {"10": 10, "2": 2}),  # as numbers, not in name order
        (["a", "b", "c"], numbered_classes(3), {"a": 0, "b": 1, "c": 2}),
        (["a", "b"], (), {"a": 0, "b": 1}),
    ],
)
def test_folders_name_classes(names: list[str], classes: Sequence[ClassSpec], expected: dict[str, int]) -> None:
    assert class_numbers(Path("set"), names, classes) == expected


@pytest.mark.parametrize(("names", "classes"), [(["cat", "cow"], NAMED), (["a", "b"], numbered_classes(3)), (["7"], NAMED)])
def test_folders_of_another_model_are_refused(names: list[str], classes: Sequence[ClassSpec]) -> None:
    with pytest.raises(RequestError, match="names no class; the model has 3: "):
        class_numbers(Path("set"), names, classes)


def test_a_labelled_folder_holds_images_in_folders_only(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "1.png")
    assert TASK.is_labelled(tmp_path)
    labels = TASK.open_labels(tmp_path, NAMED)
    assert int(labels.read(tmp_path / "dog" / "1.png", (4, 4), (8, 8))) == 1
    Image.new("RGB", (4, 4)).save(tmp_path / "loose.png")
    assert not TASK.is_labelled(tmp_path)
    with pytest.raises(RequestError, match="lies in no folder of a class"):
        labels.read(tmp_path / "loose.png", (4, 4), (8, 8))
    assert not TASK.is_labelled(tmp_path / "cat")


# --- run ----------------------------------------------------------------


def model(output: TensorSpec, values: np.ndarray) -> ImageModel:
    image = TensorSpec("image", "image", (1, 3, 8, 8), "NCHW")
    return ImageModel("net.null", (image,), output, NAMED, None, lambda _: values)


def test_a_prediction_is_ranked_and_written(tmp_path: Path) -> None:
    net = model(TensorSpec("logits", "logits", (1, 3), "NC"), np.log([[0.2, 0.7, 0.1]]))
    TASK.check_runs(net)
    plan = TASK.plan(net, (30, 20))
    assert plan.text == "resized to 8x8"
    assert TASK.plan(net, (8, 8), "tile").text == "whole"
    done: list[int] = []
    made = TASK.predict(net, np.zeros((30, 20, 3), np.uint8), plan, done.append)
    assert made.lines() == (" 70.0 %  dog", " 20.0 %  cat", " 10.0 %  emu")
    assert done == [1]
    made.write(tmp_path / "x.classes.json")
    assert json.loads((tmp_path / "x.classes.json").read_text())["classes"][0] == {
        "class": 1,
        "name": "dog",
        "probability": 0.7,
    }
    with pytest.raises(RequestError, match="so there are no tiles"):
        TASK.plan(net, (30, 20), "tile")


@pytest.mark.parametrize(
    "output",
    [
        TensorSpec("logits", "logits", (1, 4), "NC"),
        TensorSpec("logits", "scores", (1, 3)),
        TensorSpec("logits", "logits", (1, 3, 8, 8), "NCHW"),
        TensorSpec("labels", "labels", (1, 8, 8)),
    ],
)
def test_what_is_no_classifier_is_refused(output: TensorSpec) -> None:
    with pytest.raises(RequestError, match=r"net.null gives .* and names 3 classes; a classification needs"):
        TASK.check_runs(model(output, np.zeros(output.shape)))
