"""Toy: an npz file for networks that are one matrix product a pixel."""

from __future__ import annotations

from onenet.targets import Target

TARGET = Target(
    name="toy",
    title="Toy format",
    suffix=".toy",
    layout="NCHW",
    order=90,
    packages=("numpy",),
    precisions=("fp32",),
    rules=("layout",),
    colour="#cc79a7",
    page_colours=("#7a1f5c", "#e08ac0"),
)
