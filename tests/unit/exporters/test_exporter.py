"""The contract: what an exporter need not do, and where it is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn
from torch.export import export

from onenet.errors import ToolError
from onenet.exporters.exporter import Exporter, exporter_of
from onenet.targets import TARGETS
from tests.conftest import smooth_images


def test_a_target_with_float_ends_and_the_program_s_own_names_adds_nothing(tmp_path: Path) -> None:
    import torch

    program = export(nn.ReLU(), (torch.from_numpy(smooth_images(1, 3, 4, 4)),))
    assert (Exporter().io_quantization(tmp_path), Exporter().layer_names(program)) == ({}, {})


def test_every_target_has_one_of_its_own() -> None:
    kinds = {name: type(exporter_of(name)) for name in TARGETS.cards()}
    assert all(issubclass(kind, Exporter) and kind is not Exporter for kind in kinds.values())
    assert len(set(kinds.values())) == len(kinds)
    for kind in kinds.values():
        assert kind.convert is not Exporter.convert
        assert kind.embed is not Exporter.embed


def test_a_target_whose_converter_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onenet.exporters

    (tmp_path / "toy.py").write_text("import nowhere_installed\n")
    monkeypatch.setattr(onenet.exporters, "__path__", [*onenet.exporters.__path__, str(tmp_path)])
    with pytest.raises(ToolError, match=r"exporting toy needs nowhere_installed: pip install \"onenet-export\[export\]\""):
        exporter_of("toy")
