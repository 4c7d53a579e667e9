"""The modules' own tests on this machine's JVM, with real inference by the Android builds of ONNX Runtime and TFLite for it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from apk import Kit
from emulated import bind, compile_runner, compile_shim, tflite_library
from steps import Failed, run

HOST_ABI = "x86_64"


def classes(kit: Kit, out: Path) -> list[Path]:
    """Compile core, runtimes and their tests; the class path to run them with."""
    shutil.rmtree(out, ignore_errors=True)
    jars = [kit.jar("junit4"), kit.jar("hamcrest"), kit.runtime_jar]
    interpreter, path = sorted((kit.demo / "tools/interpreter").rglob("*.java")), ":".join(map(str, jars))
    sources = [*kit.sources("core"), *kit.sources("runtimes"), *interpreter]
    lint = ["-Xlint:all,-options,-serial", "-Werror", "--release", "8", "-encoding", "UTF-8"]
    run(["javac", *lint, "-cp", path, "-d", out / "main", *sources])
    tests = [
        *kit.sources("core", "testFixtures"),
        *kit.sources("core", "test"),
        *kit.sources("runtimes", "test"),
        kit.demo / "tools/render/Render.java",
    ]
    run(["javac", *lint, "-cp", f"{path}:{out / 'main'}", "-d", out / "test", *tests])
    return [*jars, out / "main", out / "test"]


def native_libraries(kit: Kit, out: Path) -> Path:
    """The folder of both runtimes' Android libraries for this processor, bound to glibc."""
    compile_shim(kit, "gcc", out)
    bind(kit, [*sorted((kit.root / "aar/jni" / HOST_ABI).glob("*.so")), tflite_library(kit, HOST_ABI)], out)
    compile_runner(kit, "gcc", out)
    return out


def java(path: list[Path], libraries: Path, properties: dict[str, Path], *arguments: str | Path) -> str:
    """Run a class."""
    places = {**properties, "onnxruntime.native.path": libraries, "onenet.tflite": libraries}
    options = [f"-D{name}={value}" for name, value in places.items()]
    environment = {"LD_LIBRARY_PATH": str(libraries), "ORT_DISABLE_TELEMETRY": "1"}
    return run(
        ["java", "-Djava.awt.headless=true", *options, "-cp", ":".join(map(str, path)), *arguments], environment=environment
    )


def junit(kit: Kit, path: list[Path], libraries: Path, properties: dict[str, Path]) -> tuple[int, str]:
    """Run every test class.

    Returns:
        How many tests passed, and what they printed.
    """
    files = [
        (kit.demo / module / "src/test/java", each) for module in ("core", "runtimes") for each in kit.sources(module, "test")
    ]
    names = [".".join(each.relative_to(root).with_suffix("").parts) for root, each in files if each.stem.endswith("Test")]
    printed = java(path, libraries, properties, "org.junit.runner.JUnitCore", *names)
    found = re.search(r"^OK \((\d+) tests?\)", printed, re.MULTILINE)
    if found is None:
        raise Failed(f"JUnit did not say OK:\n{printed[-1500:]}")
    return int(found[1]), printed
