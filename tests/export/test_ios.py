"""``examples/ios`` beside a package that Python exported: what its code and Xcode's preview read is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import onenet
from onenet.base.images import PREPROCESSING
from onenet.base.quiet import quiet
from onenet.calibration.samples import Samples
from onenet.exporters.cases import CHECKERS, write_cases
from onenet.exporters.coreml import METADATA, PREVIEW, model_path, preview
from onenet.model import Model
from onenet.models.build import build
from onenet.runtimes.manifest import SCHEMA
from onenet.spec import ClassSpec, ModelSpec, TensorSpec
from tests.house.product import REPOSITORY

IOS = REPOSITORY / "examples/ios"
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(IOS.rglob("*.swift"))}
CLASSES = (ClassSpec("sky", "#56b4e9"), ClassSpec("land", "#009e73"), ClassSpec('a "sea"', "#0072b2"))
IMAGE = TensorSpec("image", "image", (1, 3, 16, 24), "NCHW", value_range=(0.0, 1.0))
LOGITS = TensorSpec("logits", "logits", (1, 3, 16, 24), "NCHW")
SEGMENTATION = ModelSpec("scene", "segmentation", (IMAGE,), (LOGITS,), CLASSES)


def model() -> Model:
    torch.manual_seed(0)
    return onenet.lower(build(lambda: (nn.Conv2d(3, 3, 1), SEGMENTATION)))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with quiet():
        return onenet.export(model(), target="coreml", out=tmp_path_factory.mktemp("ios")).path


def metadata(package: Path) -> dict[str, str]:
    from coremltools.proto import Model_pb2

    return dict(Model_pb2.Model.FromString(model_path(package).read_bytes()).description.metadata.userDefined)


def test_xcode_previews_the_package(package: Path) -> None:
    from coremltools.proto import Model_pb2

    found = metadata(package)
    assert found[f"{PREVIEW}.type"] == "imageSegmenter"
    assert json.loads(found[f"{PREVIEW}.params"]) == {
        "labels": ["sky", "land", 'a "sea"'],
        "colors": ["#56b4e9", "#009e73", "#0072b2"],
    }
    description = Model_pb2.Model.FromString(model_path(package).read_bytes()).description
    assert description.input[0].type.WhichOneof("Type") == "imageType"  # what the preview drops a picture on
    assert description.output[0].type.WhichOneof("Type") == "multiArrayType"


def test_what_is_no_segmentation_of_one_picture_has_no_preview() -> None:
    classifier = ModelSpec("net", "classification", (IMAGE,), (TensorSpec("logits", "logits", (1, 3), "NC"),), CLASSES)
    grey = TensorSpec("image", "image", (1, 1, 16, 24), "NCHW")
    two = ModelSpec("two", "segmentation", (IMAGE, grey), (LOGITS,), CLASSES)
    assert preview(SEGMENTATION).keys() == {"type", "params"}
    assert preview(classifier) == preview(two) == preview(ModelSpec("grey", "segmentation", (grey,), (LOGITS,), CLASSES)) == {}


# --- the Swift code, where there is a compiler ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, Path], list[str]]:
    """What the plain Swift part says of a manifest and a folder of cases."""
    if shutil.which("swiftc") is None:
        pytest.skip("swiftc is not installed")
    program = tmp_path_factory.mktemp("swift") / "core"
    plain = [IOS / "Sources/Segmentation" / f"{name}.swift" for name in ("Manifest", "Picture", "Mask")]
    sources = [*plain, CHECKERS / "OnenetCases.swift", Path(__file__).parent / "replay_ios/main.swift"]
    subprocess.run(["swiftc", "-O", "-warnings-as-errors", *sources, "-o", program], check=True)

    def run(manifest: Path, cases: Path) -> list[str]:
        done = subprocess.run([program, manifest, cases], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return run


@pytest.fixture(scope="module")
def cases(package: Path) -> Path:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 24)).astype(np.float32) / np.float32(255)
    with quiet():
        return write_cases(package, Samples.of_images("noise", pictures), package.parent / "cases")


def test_the_swift_core_makes_of_pictures_what_python_makes(core, package: Path, cases: Path) -> None:  # type: ignore[no-untyped-def]
    assert core(Path(f"{package}.json"), cases) == ["[165, 80, 128, 9, 8, 7] none 50 %, one 50 %"]


def test_the_swift_core_names_what_is_wrong(core, package: Path, cases: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(cases, tmp_path / "wrong")
    values = bytearray((cases / "larger.input.bin").read_bytes())
    values[7] ^= 1  # the exponent of the second value
    (tmp_path / "wrong/larger.input.bin").write_bytes(values)
    first, *_ = core(Path(f"{package}.json"), tmp_path / "wrong")
    assert first.startswith("larger: preprocessing: value 1 is ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "refused: The manifest has schema 2; this app reads 1."),
        ({"task": "classification"}, "refused: This app shows masks of one colour picture; scene is for classification."),
        ({"preprocessing": "other/1"}, "refused: scene needs the preprocessing other/1; this app has "),
        ({"inputs": None}, "refused: The manifest is damaged. Export the model again."),
        ({"schema": None}, "refused: The model holds no manifest of onenet."),
        ({"tiling": {"image_size": [64, 64]}}, "refused: scene takes tiles of pictures of 64 x 64. Export it without --tile."),
    ],
)
def test_the_swift_core_refuses(  # type: ignore[no-untyped-def]
    core, package: Path, cases: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    manifest = json.loads(Path(f"{package}.json").read_text())
    (tmp_path / "changed.json").write_text(json.dumps({**manifest, **change}))
    (line,) = core(tmp_path / "changed.json", cases)
    assert line.startswith(said)


# --- the Swift code as a text ---------------------------------------------------------------------------------------------


def fields(structure: str) -> set[str]:
    """The stored properties of a struct of Manifest.swift."""
    text = SOURCES["Manifest.swift"]
    begin = re.search(rf"^( *)public struct {structure}: Decodable.*\n", text, re.MULTILINE)
    assert begin is not None, structure
    indent = begin[1] + "    "
    body = text[begin.end() : text.index(f"\n{begin[1]}}}", begin.end())]
    return set(re.findall(rf"^{indent}public let (\w+): [^=\n]+$", body, re.MULTILINE))


def manifest_of_tile(tmp_path: Path) -> dict[str, Any]:
    """What a manifest says of tiles, where the input is one."""
    tiled = onenet.tile(onenet.build("onenet-ed4", width=4, random_weights=True, spatial=False, input_size=(64, 64)), 32)
    with quiet():
        artifact = onenet.export(onenet.lower(tiled), target="onnx", out=tmp_path)
    found: dict[str, Any] = json.loads(Path(f"{artifact.path}.json").read_text())
    return found


def test_every_key_that_the_code_reads_is_in_a_manifest(package: Path, tmp_path: Path) -> None:
    manifest = json.loads(metadata(package)[METADATA])
    assert fields("Manifest") and fields("Manifest") <= manifest.keys()
    assert fields("Tensor") and fields("Tensor") <= manifest["inputs"][0].keys() & manifest["outputs"][0].keys()
    assert fields("Class") and fields("Class") == manifest["classes"][0].keys()
    assert fields("Tiling") == {"image_size"} <= manifest_of_tile(tmp_path)["tiling"].keys()


def test_schema_preprocessing_and_the_manifests_place_are_pythons() -> None:
    text = SOURCES["Manifest.swift"]
    assert f"static let schema = {SCHEMA}\n" in text
    assert f'static let preprocessing = "{PREPROCESSING}"\n' in text
    assert f'entries?["{METADATA}"]' in SOURCES["Segmenter.swift"]


def test_the_checker_is_the_one_that_export_writes() -> None:
    assert SOURCES["OnenetCases.swift"] == (CHECKERS / "OnenetCases.swift").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "pattern", [r"\b(256|224|513|127\.5)\b", r'"(logits|image|nucleus|background)"'], ids=["sizes", "names"]
)
def test_no_constant_of_a_model_is_in_the_code(pattern: str) -> None:
    own = {name: re.sub(r"//.*", "", text) for name, text in SOURCES.items() if name not in ("OnenetCases.swift", "Mask.swift")}
    role = own.pop("Manifest.swift").replace('input.role == "image"', "")
    assert not {name: found for name, text in {**own, "Manifest.swift": role}.items() if (found := re.findall(pattern, text))}


def test_sources_keep_the_sizes_of_this_code() -> None:
    assert not [name for name, text in SOURCES.items() if any(len(line) > 128 for line in text.splitlines())]
