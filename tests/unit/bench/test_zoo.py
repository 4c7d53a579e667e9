"""The table of public networks: its rows, its summary, and that every network that we wrote is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.worker import reason_of
from bench.zoo import networks
from bench.zoo.networks import NETWORKS, Network, settle
from bench.zoo.page import PAIRS, markdown, ratio, summary

WRITTEN = [each for each in NETWORKS.values() if each.origin.startswith("written anew")]


def cell(**changes: Any) -> dict[str, Any]:
    ours = {"reason": "", "bytes": 1_000_000, "db": 31.5, "simulation_db": 31.0, "ms": [2.0, 1.0, 3.0]}
    usual = {"reason": "", "bytes": 2_000_000, "db": 30.0, "ms": [4.0, 4.0, 8.0]}
    lite = {"partitions": 1, "float_operators": {"SOFTMAX": 2}}
    return {"ours": ours | lite | changes.get("ours", {}), "usual": usual | lite | changes.get("usual", {})}


CONTEXT = {"cpu": "CPU", "cores": 2, "vnni": True, "system": "Linux"}


def document(**cells: Any) -> dict[str, Any]:
    network = {"name": "net", "reason": "", "cells": {pair.replace("_", "-"): each for pair, each in cells.items()}}
    return {"networks": {"net": {**network, "load": [0.1, 0.1, 0.1], "context": CONTEXT}}}


def line(page: str, heading: str) -> str:
    """The network's row in a table."""
    return next(each for each in page.split(f"## {heading}\n")[1].splitlines() if each.startswith("| net |"))


def test_a_row_has_both_ways_their_ratio_and_what_stays_in_float() -> None:
    page = markdown(document(tflite_fp32=cell(), tflite_int8=cell(ours={"ms": [1.0]})))
    assert line(page, "TFLite int8") == "| net | 31.5 (31.0) | 30.0 | 1.00 | 2.00 | 0.25, 0.50 | 1 | SOFTMAX 2 |"


def test_a_refused_file_is_marked_and_a_missing_one_has_its_reason() -> None:
    refused = cell(ours={"refused": "CheckError: values"})
    page = markdown(document(onnx_int8=refused, onnx_fp32=cell(ours={"reason": "ToolError: a | b"})))
    assert "| net | **refused** 31.5 (31.0) |" in line(page, "ONNX int8")
    assert "| net | ToolError: a \\| b |" in line(page, "ONNX fp32")
    assert line(page, "Core ML int8").startswith("| net | not reached |")


def test_the_summary_counts() -> None:
    rows = list(summary(list(document(tflite_fp32=cell(), tflite_int8=cell(ours={"refused": "x"}))["networks"].values())))
    assert rows[2:4] == [
        "| TFLite fp32 | 1 | 0 | 0 | 1 | 0.50 | 0 of 1 |",
        "| TFLite int8 | 0 | 1 | 0 | 1 | 0.50 | 0 of 1 |",
    ]
    assert len(rows) == 2 + len(PAIRS)


def test_each_machine_is_named_with_its_networks() -> None:
    measured = document(tflite_fp32=cell())
    assert "\nCPU, 2 cores, with VNNI, Linux: all networks.\n" in markdown(measured)
    busy = {**measured["networks"]["net"], "name": "other", "load": [9.0, 9.0, 9.0], "context": {**CONTEXT, "cpu": "Another"}}
    page = markdown({"networks": {**measured["networks"], "other": busy}})
    first, second = page.index("CPU, 2 cores, with VNNI, Linux: net."), page.index("Another, 2 cores, with VNNI, Linux: other.")
    assert first < second < page.index("The machine was busy")


def test_networks_that_were_not_measured_are_named() -> None:
    page = markdown(document(tflite_fp32=cell()))
    assert f"Not measured yet, of {len(NETWORKS)} in the list: " in page
    assert {"unet", "yolo."} <= set(page.replace(",", "").split())


def test_a_reason_names_no_folder_of_this_machine() -> None:
    error = ValueError("\n  passes failed: /a/b-1/site-packages/torch/conv.py:12: see torch/nn and 1/2\nmore")
    assert reason_of(error) == "ValueError: passes failed: conv.py:12: see torch/nn and 1/2"


def test_no_ratio_without_both_times() -> None:
    assert ratio(cell()) == 0.5
    assert ratio({"ours": {"reason": "", "ms": [1.0]}}) is None


def test_forty_networks_with_names_that_are_files() -> None:
    assert len(NETWORKS) >= 40
    assert all(name == Path(name).name for name in NETWORKS)


@pytest.mark.parametrize("network", WRITTEN, ids=lambda network: network.name)
def test_every_network_that_we_wrote_computes_and_depends_on_its_image(network: Network) -> None:
    module = networks.build(network)
    images = torch.rand(2, 3, network.size, network.size, generator=torch.Generator().manual_seed(0))
    settle(module, images)
    with torch.no_grad():
        found = [module(each[None]) for each in images]
    first, second = (each if isinstance(each, tuple) else (each,) for each in found)
    assert all(bool(each.isfinite().all()) for each in (*first, *second))
    assert all(float((a - b).abs().max()) > 1e-3 * float(a.abs().max()) for a, b in zip(first, second, strict=True))
