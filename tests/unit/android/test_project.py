"""The Android demo as a text: what must agree with onenet, and what an app that respects people does not ask for."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from onenet.base.images import PREPROCESSING
from onenet.exporters.cases import CHECKERS
from onenet.runtimes.agent.content import TIMED
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.manifest import SCHEMA
from tests.house.product import REPOSITORY

DEMO = REPOSITORY / "android_demo"
NAME = "{http://schemas.android.com/apk/res/android}name"
SOURCES = {path.relative_to(DEMO).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DEMO.glob("*/src/**/*.java"))}
SHIPPED = {name: text for name, text in SOURCES.items() if "/src/main/" in name}


def constant(name: str, where: str) -> str:
    found = re.search(rf"\b{name}\s*=\s*(.+?);$", SOURCES[where], re.DOTALL | re.MULTILINE)
    assert found is not None, f"{where} has no {name}"
    return found[1].strip()


def test_schema_preprocessing_and_what_is_timed_are_pythons() -> None:
    manifest = "core/src/main/java/onenet/core/Manifest.java"
    assert constant("SCHEMA", manifest) == str(SCHEMA)
    assert constant("PREPROCESSING", manifest) == f'"{PREPROCESSING}"'
    assert constant("TIMED", "core/src/main/java/onenet/core/Measurement.java") == f'"{TIMED}"'


def test_the_benchmarks_defaults_are_those_of_bench() -> None:
    text, plan = SOURCES["core/src/main/java/onenet/core/Plan.java"], Plan()
    found = dict(re.findall(r'plan\.has\("(\w+)"\) \? plan\.whole\("\w+", \d\) : (\d+)', text))
    found |= dict(re.findall(r'number\(plan, "(\w+)", ([\d.]+)\)', text))
    assert {name: float(value) for name, value in found.items()} == {
        name: float(getattr(plan, name))
        for name in ("runs", "rounds", "warmup_runs", "seconds", "warmup_seconds", "sustained_minutes", "timeout")
    }


def test_core_is_pure_java() -> None:
    core = {name: text for name, text in SOURCES.items() if name.startswith("core/")}
    assert core and not [
        name for name, text in core.items() if re.search(r"\b(android|androidx|kotlin)\.", text.replace("no {@code", ""))
    ]


def test_the_camera_is_the_only_permission() -> None:
    asked = []
    for path in sorted(DEMO.glob("*/src/main/AndroidManifest.xml")):
        root = ElementTree.parse(path).getroot()
        asked += [each.get(NAME) for each in root.iter() if each.tag.startswith("uses-permission")]
    assert asked == ["android.permission.CAMERA"]


@pytest.mark.parametrize(
    "pattern",
    [r"\b(256|224|513|127\.5)\b(?!\])", r'"(logits|nucleus|background)"', r"\bRandom\b"],
    ids=["sizes and scales", "names", "random colours"],
)
def test_no_constant_of_a_model_is_in_the_app(pattern: str) -> None:
    app = {name: text for name, text in SHIPPED.items() if not name.startswith("core/")}
    assert app and not {name: found for name, text in app.items() if (found := re.findall(pattern, text))}


def test_the_build_asks_for_current_android_and_official_packages() -> None:
    app = (DEMO / "app/build.gradle").read_text()
    assert [re.findall(rf"{name} (\d+)", app) for name in ("compileSdk", "targetSdk", "minSdk")] == [["36"], ["36"], ["26"]]
    catalog = (DEMO / "gradle/libs.versions.toml").read_text()
    assert '"com.google.ai.edge.litert:litert"' in catalog and re.search(r'litert = "2\.3\.\d+"', catalog)
    assert '"com.microsoft.onnxruntime:onnxruntime-android"' in catalog
    modules = re.findall(r"'(:\w+)'", (DEMO / "settings.gradle").read_text())
    assert modules == [":core", ":runtimes", ":bench", ":app"]
    assert all((DEMO / name[1:] / "build.gradle").is_file() for name in modules)


def test_sources_keep_the_sizes_of_this_code() -> None:
    long = [name for name, text in SOURCES.items() if len(text.splitlines()) > 400]
    wide = [name for name, text in SOURCES.items() if any(len(line) > 128 for line in text.splitlines())]
    assert (long, wide) == ([], [])


def test_dx_can_read_what_is_shipped() -> None:
    """It knows neither lambdas nor references to methods."""
    assert not [
        name for name, text in SHIPPED.items() if "->" in re.sub(r"/\*.*?\*/|//.*", "", text, flags=re.DOTALL) or "::" in text
    ]


def test_the_cases_are_read_in_the_form_that_they_are_written_in() -> None:
    text = (DEMO / "core/src/testFixtures/java/onenet/core/Cases.java").read_text()
    checker = (CHECKERS / "OnenetCases.java").read_text()
    for word in ("cases.txt", ".rgb.bin", ".input.bin", ".labels.bin"):
        assert word in text and word in checker
