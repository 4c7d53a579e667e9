"""The app's own arm64 libraries, run by an emulated processor: their outputs are judged as `onenet verify` judges."""

from __future__ import annotations

from pathlib import Path

from apk import ABI, Kit
from rebind import rebind, rebound
from steps import Failed, run

COMPILER = "aarch64-linux-gnu-gcc"
SYSROOT = "/usr/aarch64-linux-gnu"
SHIMMED = ("libm.so", "libdl.so", "liblog.so", "libandroid.so")
"""Libraries of Android that are the same file as its C library here."""


def compile_shim(kit: Kit, compiler: str, out: Path) -> None:
    """Android's C library, as far as it is needed, on top of this machine's."""
    out.mkdir(parents=True, exist_ok=True)
    source = kit.demo / "tools/emulated/bionic.c"
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,--no-as-needed"]
    run([compiler, *options, "-o", out / "libc.so", source, "-lm", "-ldl", "-lpthread"])
    for name in SHIMMED:
        link = out / name
        link.unlink(missing_ok=True)
        link.symlink_to("libc.so")


def bind(kit: Kit, libraries: list[Path], out: Path) -> None:
    """Copies of libraries that this machine's loader takes."""
    names = rebound(kit.demo / "tools/emulated/bionic.c")
    for library in libraries:
        (out / library.name).write_bytes(rebind(library.read_bytes(), names))


def tflite_library(kit: Kit, abi: str) -> Path:
    """TFLite's Android library for a kind of processor."""
    return kit.root / "package/android/src/main/cpp/lib/tensorflow/jni" / abi / "libtensorflowlite_jni.so"


def compile_runner(kit: Kit, compiler: str, out: Path) -> None:
    """The program that runs models by such libraries."""
    headers, source = kit.root / "aar/headers", kit.demo / "tools/emulated/run.c"
    run([compiler, "-O1", "-Wall", "-Wextra", "-I", headers, "-o", out / "run", source, "-ldl"])


class Emulator:
    """Runs models by the libraries of the APK, and by TFLite's for Android, on an emulated arm64 processor."""

    def __init__(self, kit: Kit, apk_libraries: list[Path]) -> None:
        self.folder = kit.build / "arm64"
        self.scratch = kit.build / "emulated"
        self.scratch.mkdir(parents=True, exist_ok=True)
        compile_shim(kit, COMPILER, self.folder)
        bind(kit, [*apk_libraries, tflite_library(kit, ABI)], self.folder)
        compile_runner(kit, COMPILER, self.folder)

    def run(self, artifact: Path, fed: bytes) -> bytes:
        """The output's bytes for the input's."""
        runtime, library = {
            ".onnx": ("onnxruntime", "libonnxruntime.so"),
            ".tflite": ("tflite", "libtensorflowlite_jni.so"),
        }[artifact.suffix]
        files = [self.scratch / f"{artifact.name}.{end}" for end in ("in", "out")]
        files[0].write_bytes(fed)
        files[1].unlink(missing_ok=True)
        emulator = ["qemu-aarch64", "-L", SYSROOT, "-E", f"LD_LIBRARY_PATH={self.folder}"]
        run([*emulator, self.folder / "run", runtime, self.folder / library, artifact, *files])
        return files[1].read_bytes()


def compare(emulator: Emulator, artifact: Path) -> str:
    """Run an artifact's golden input there and here.

    Returns:
        What was found.

    Raises:
        Failed: the output is not right.
    """
    import numpy as np

    from onenet.runtimes.agent.content import golden_inputs, judge_outputs
    from onenet.runtimes.artifact import open_artifact

    opened = open_artifact(artifact, 1)
    inputs, spec = golden_inputs(artifact), opened.outputs[0]
    found = emulator.run(artifact, next(iter(inputs.values())).tobytes())
    verdict = judge_outputs(artifact, {spec.name: found})
    if not verdict.passed:
        raise Failed(f"{artifact.name} on emulated arm64: {'; '.join(each.detail for each in verdict.checks)}")
    here = opened.session.run(inputs)[spec.name]
    there = np.frombuffer(found, here.dtype).reshape(here.shape)
    axis = spec.shape.index(len(opened.manifest.classes), 1)
    labels = float((here.argmax(axis) == there.argmax(axis)).mean())
    return f"{artifact.name}: {(here != there).mean():.1%} of the values differ, labels {labels:.3%} equal"
