"""The page of planted faults: its counts, and that it lists every one that is missed."""

from __future__ import annotations

from typing import Any

from bench.mutations import NETWORKS, markdown, merged
from tests.export.mutants import TOYS


def row(network: str, target: str = "onnx", moved: int = 10, missed: tuple[str, ...] = (), refused: str = "") -> dict[str, Any]:
    own = {
        "network": network,
        "target": target,
        "precision": "int8",
        "made": 15,
        "unsealed": 15,
        "moved": moved,
        "missed": missed,
    }
    return own | {"seconds": 30.0, "refused": refused}


def page(*rows: dict[str, Any]) -> str:
    return markdown({"layers": 5, "rows": list(rows), "context": {"cpu": "CPU", "vnni": True}})


def test_the_share_is_of_those_that_moved_an_output() -> None:
    text = page(row("unet"), row("unet", "coreml", 10, ("conv2d zeroed",)), row("enet", refused="CheckError: values"))
    assert "| int8 | 45 | 45 | 30 | 29 | 96.7% |" in text
    assert "| network | onnx int8 | coreml int8 |" in text
    assert "2 of 20 networks so far; at most 5 layers" in text
    assert "| unet | 10 of 10 | 9 of 10 |" in text
    assert "* unet, coreml int8: conv2d zeroed" in text
    assert "| enet | no file |  |" in text
    assert "* enet, onnx int8: CheckError: values" in text
    assert "2 minutes of CPU time on CPU, VNNI yes." in text
    assert "## Missed\n\nNone." in page(row("unet"))


def test_rows_that_were_not_measured_again_stay() -> None:
    found = merged([row("unet", moved=1), row("enet", moved=2)], [row("unet", moved=3), row("unet", "tflite", 4)])
    assert [(each["network"], each["target"], each["moved"]) for each in found] == [
        ("enet", "onnx", 2),
        ("unet", "tflite", 4),
        ("unet", "onnx", 3),
    ]


def test_there_are_twenty_networks() -> None:
    assert len(set(NETWORKS)) == 20
    assert set(TOYS) < set(NETWORKS)
