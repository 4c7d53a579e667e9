"""What stands on the cards of targets, and which combinations they allow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import onenet.targets
from onenet.errors import RequestError
from onenet.targets import PRECISIONS, TARGETS, Target, check_pair, combinations, pairs, suffixes, target_of, title_of

CARDS = list(TARGETS.cards().values())


def test_three_targets_in_the_order_of_help_texts() -> None:
    assert suffixes() == {"tflite": ".tflite", "onnx": ".onnx", "coreml": ".mlpackage"}
    assert list(suffixes()) == ["tflite", "onnx", "coreml"]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_card_is_complete(card: Target) -> None:
    assert card.title and card.packages and re.fullmatch(r"\.[a-z]+", card.suffix)
    assert set(card.precisions) <= set(PRECISIONS) and set(card.sqnr_db) <= set(card.precisions)
    for colour in (card.colour, *card.page_colours):
        assert re.fullmatch("#[0-9a-f]{6}", colour)


def test_targets_are_told_apart() -> None:
    for field in ("title", "suffix", "colour", "width", "marker", "page_colours", "order"):
        assert len({getattr(card, field) for card in CARDS}) == len(CARDS), field


def test_every_pair_that_exists_is_allowed() -> None:
    for target, precision in pairs():
        check_pair(target, precision)
    assert {precision for _, precision in pairs()} == set(PRECISIONS)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (("ncnn", "fp32"), "target 'ncnn' is not known; supported: tflite, onnx, coreml"),
        (("onnx", "int4"), "precision 'int4' does not exist for onnx; supported: fp32, fp16, int8, w8"),
        (("onnx", "int8", "raw"), "io 'raw' is not known; supported: float, int8"),
        (("onnx", "fp32", "int8"), "int8 input and output need --precision int8, found fp32; use --io float"),
        (("coreml", "int8", "int8"), "coreml has no int8 input and output; use --io float, or target tflite, onnx"),
    ],
)
def test_an_impossible_combination_is_refused(request_: tuple[str, ...], text: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_pair(*request_)
    assert str(caught.value) == text


def test_combinations_come_once_in_the_order_asked() -> None:
    asked = combinations(["onnx", "tflite", "onnx"], ["int8", "fp32"])
    assert list(asked) == [("onnx", "int8"), ("onnx", "fp32"), ("tflite", "int8"), ("tflite", "fp32")]


def test_a_title_of_what_is_no_target_is_its_name() -> None:
    assert title_of("coreml") == "Core ML" and title_of("null") == "null"


def test_a_new_file_is_a_new_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(
        "from onenet.targets import Target\n"
        "TARGET = Target('toy', 'Toy', '.toy', 'NCHW', 2, ('torch',), precisions=('fp32',))\n"
    )
    monkeypatch.setattr(onenet.targets, "__path__", [*onenet.targets.__path__, str(tmp_path)])
    assert list(suffixes()) == ["tflite", "onnx", "toy", "coreml"] and target_of("toy").title == "Toy"
    check_pair("toy", "fp32")
    with pytest.raises(RequestError, match="'fp16' does not exist for toy; supported: fp32"):
        check_pair("toy", "fp16")
