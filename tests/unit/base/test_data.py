"""JSON and numbers that anybody may have written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onenet.base import data
from onenet.errors import RequestError


def test_json_has_a_largest_size_and_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    assert data.parse_json('{"a": [1]}') == {"a": [1]}
    with pytest.raises(ValueError, match="nested too deeply"):
        data.parse_json("[" * 200_000)
    monkeypatch.setattr(data, "LONGEST_JSON", 4)
    with pytest.raises(ValueError, match="9 bytes; the longest that is read is 4"):
        data.parse_json("[1, 2, 3]")


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, says in ((tmp_path / "pipe", "not a regular file"), (tmp_path / "nothing", "No such file")):
        with pytest.raises(RequestError, match=f"cannot read the recipe .*{says}"):
            data.read_json(path, "recipe")


@pytest.mark.parametrize(
    ("value", "whole", "real"),
    [
        (3, True, True),
        (0, True, True),
        (-1, False, True),
        (True, False, False),
        (2**31, False, True),
        (1.5, False, True),
        (float("nan"), False, False),
        (float("inf"), False, False),
        (1e-40, False, False),
        ("1", False, False),
    ],
)
def test_numbers(value: object, whole: bool, real: bool) -> None:
    assert (data.is_whole(value), data.is_real(value)) == (whole, real)
