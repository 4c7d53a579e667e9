"""The Android demo from nothing to a verified APK, on Linux and without the Android SDK: ``make android``.

    python android_demo/tools [--build build/android] [--picture FILE.png] [--images DIR] [--jvm]

Downloads are kept in BUILD/downloads and known by their SHA-256. Everything else is made anew.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import apk  # noqa: E402  # this folder is a program, not a package: its modules are found from here on
import downloads  # noqa: E402
import jvm  # noqa: E402
from checks import check_apk  # noqa: E402
from emulated import Emulator, compare  # noqa: E402
from steps import Failed, main_or_message, step  # noqa: E402

LEAST_TESTS = 30
SHIPPED = "onenet-ed4_int8.onnx"
"""What the checked APK holds: it has ONNX Runtime alone."""
PICTURES = 3


def main() -> None:
    """Build, test, check."""
    parser = argparse.ArgumentParser(prog="make android", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--build", type=Path, default=HERE.parents[1] / "build/android", help="folder for everything that is made"
    )
    parser.add_argument("--picture", type=Path, help="write the picture of the documentation there")
    parser.add_argument("--images", type=Path, help="folder of pictures for the tests on the JVM, instead of the shipped ones")
    parser.add_argument("--jvm", action="store_true", help="stop after the tests on the JVM")
    options = parser.parse_args()
    kit = apk.Kit(HERE.parent, options.build.resolve() / "root", options.build.resolve())
    with step("downloads"):
        downloads.fetch(kit.build / "downloads")
        downloads.unpack(kit.build / "downloads", kit.root)
    artifacts = exported(kit.build / "models")
    test_on_jvm(kit, artifacts, options.picture, options.images)
    if options.jvm:
        return
    with step("APK") as notes:
        result = apk.build_apk(kit, assets_of(kit, artifacts))
        notes.append(check_apk(kit, result))
    with step("onenet doctor"):
        doctor(result)
    with step("emulated arm64") as notes:
        emulator = Emulator(kit, sorted((kit.root / "aar/jni" / apk.ABI).glob("*.so")))
        notes += [compare(emulator, each) for each in artifacts]
    print(result)


def exported(folder: Path) -> list[Path]:
    """The shipped model in both formats, int8 and fp32; exported unless they are there."""
    wanted = [folder / f"onenet-ed4_{precision}.{suffix}" for precision in ("int8", "fp32") for suffix in ("onnx", "tflite")]
    if not all(each.is_file() for each in wanted):
        with step("exporting the shipped model"):
            command = [sys.executable, "-m", "onenet.cli", "export", "-t", "onnx", "-t", "tflite", "-p", "int8", "-p", "fp32"]
            done = subprocess.run([*command, "-o", str(folder)], capture_output=True, text=True, check=False)
            if done.returncode:
                raise Failed(done.stderr[-1000:])
    return wanted


def assets_of(kit: apk.Kit, artifacts: list[Path]) -> Path:
    """The app's assets as `onenet export --for-android` places them, of the one model that the APK can run."""
    from onenet.exporters.android import place_models

    folder = kit.build / "assets"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    place_models([each for each in artifacts if each.name == SHIPPED], folder / "models")
    return folder


def test_on_jvm(kit: apk.Kit, artifacts: list[Path], picture: Path | None, images: Path | None) -> None:
    """JUnit with cases from Python; the document that the benchmark makes; the picture."""
    from cases import write_cases

    cases, document = kit.build / "cases", kit.build / "document.json"
    with step("cases from Python"):
        for artifact in artifacts:
            write_cases(artifact, cases, images)
    with step("tests on the JVM") as notes:
        path = jvm.classes(kit, kit.build / "classes")
        libraries = jvm.native_libraries(kit, kit.build / "x86_64")
        places = {"onenet.cases": cases, "onenet.models": kit.build / "models", "onenet.document": document}
        count, printed = jvm.junit(kit, path, libraries, places)
        if count < LEAST_TESTS:
            raise Failed(f"only {count} tests ran")
        notes.append(f"{count} tests passed")
        check_document(document)
    print(*re.findall(r"^labels .*", printed, re.MULTILINE), sep="\n")
    if picture is not None:
        pixels = sorted((cases / SHIPPED).glob("[0-9]*.rgb.bin"))[:PICTURES]
        jvm.java(path, libraries, {}, "Render", kit.build / "models" / SHIPPED, picture, "256", "256", *pixels)


def check_document(file: Path) -> None:
    """What the app's benchmark wrote is a measurement that `onenet report` reads."""
    from onenet.runtimes.measure.document import validate

    content = json.loads(file.read_text())
    content["measured"] = datetime.now(timezone.utc).replace(microsecond=0).isoformat()
    validate(content, file.name)


def doctor(result: Path) -> None:
    """`onenet doctor APK`, as anybody would call it."""
    done = subprocess.run(
        [sys.executable, "-m", "onenet.cli", "doctor", str(result)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(done.stdout + done.stderr)


if __name__ == "__main__":
    main_or_message(main)
