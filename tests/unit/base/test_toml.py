"""TOML of a user."""

from __future__ import annotations

from pathlib import Path

import pytest

from onenet.base import toml
from onenet.errors import RequestError


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[plan]\nruns = 3\n")
    assert toml.read_toml(tmp_path / "a.toml", "campaign") == {"plan": {"runs": 3}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"runs = ", "campaign .* is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"#" * ((1 << 20) + 1), "larger than"),
        (None, "cannot be read"),
    ],
)
def test_what_is_none_is_refused_in_one_line(content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=says) as caught:
        toml.read_toml(path, "campaign")
    assert "\n" not in str(caught.value)
