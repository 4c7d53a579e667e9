"""A digest that is inside of what it is of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onenet.runtimes.seal import FIELD, OPEN, content_digest, is_whole, seal


def file(folder: Path) -> Path:
    path = folder / "a.onnx"
    path.write_bytes(b"weights" + json.dumps({FIELD: OPEN}).encode() + b"more weights")
    return path


def package(folder: Path) -> Path:
    path = folder / "a.mlpackage"
    (path / "Data").mkdir(parents=True)
    (path / "Data" / "model").write_text(json.dumps({FIELD: OPEN}))
    (path / "Data" / "weights").write_bytes(bytes(100))
    return path


@pytest.mark.parametrize("make", [file, package])
def test_a_sealed_artifact_is_whole_and_each_change_shows(tmp_path: Path, make: object) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    assert is_whole(path, {FIELD: OPEN}) is None
    digest = seal(path)
    manifest = {FIELD: digest}
    assert is_whole(path, manifest) is True
    assert content_digest(path, digest) == digest
    for each in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
        content = each.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1}:
            each.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert is_whole(path, manifest) is False
        each.write_bytes(content + b"x")
        assert is_whole(path, manifest) is False
        each.write_bytes(content)
    assert is_whole(path, manifest) is True


def test_files_of_a_folder_that_go_or_have_other_names_show(tmp_path: Path) -> None:
    path = package(tmp_path)
    manifest = {FIELD: seal(path)}
    (path / "Data" / "weights").rename(path / "Data" / "weight")
    assert is_whole(path, manifest) is False
    (path / "Data" / "weight").unlink()
    assert is_whole(path, manifest) is False


@pytest.mark.parametrize("digest", [None, 3, "", "0" * 63, "g" * 64, OPEN + "\n"])
def test_what_is_no_digest_says_nothing(tmp_path: Path, digest: object) -> None:
    assert is_whole(file(tmp_path), {FIELD: digest}) is None


@pytest.mark.parametrize("content", [b"nothing", 2 * OPEN.encode()])
def test_an_artifact_without_a_single_place_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert seal(tmp_path / "a") == OPEN
    assert (tmp_path / "a").read_bytes() == content
