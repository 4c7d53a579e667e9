"""The runtime that exists on devices only."""

from __future__ import annotations

from pathlib import Path

import pytest

from onenet.errors import RequestError
from onenet.runtimes import RUNTIMES, measuring, runtime_of


def test_it_measures_on_devices_but_opens_no_file_here(tmp_path: Path) -> None:
    card = RUNTIMES.cards()["benchmark_model"]
    assert card.open is None and not card.travels
    assert measuring()["benchmark_model"] is card
    path = tmp_path / "a.tflite"
    path.touch()
    with pytest.raises(RequestError, match="benchmark_model does not open"):
        runtime_of(path, "benchmark_model")
