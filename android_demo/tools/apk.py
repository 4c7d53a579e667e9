"""The app's APK without the Android SDK: the same sources that Gradle builds, by the tools that Debian has.

ONNX Runtime is inside; LiteRT is not, because its Java classes can be had from Google's Maven only.
"""

from __future__ import annotations

import re
import shutil
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from steps import Failed, run

ABI = "arm64-v8a"
PAGE = 16384
"""Native libraries begin at multiples of the largest page that Android has."""
MODULES = ("core", "runtimes", "bench", "app")
PASSWORD = "android"
"""Of the debug key, as everywhere."""
JAVAC = ("javac", "-nowarn", "-Xlint:-options", "-source", "8", "-target", "8", "-encoding", "UTF-8", "-XDstringConcat=inline")
ALIGNMENT = 0xD935
"""The extra field of a zip entry by which apksigner keeps the entry aligned."""


@dataclass(frozen=True)
class Kit:
    """Where the tools are, and what is built."""

    demo: Path
    """``android_demo``."""
    root: Path
    """The unpacked packages."""
    build: Path

    @property
    def environment(self) -> dict[str, str]:
        """By which the unpacked programs find their libraries."""
        folders = ("usr/lib/x86_64-linux-gnu/android", "usr/lib/x86_64-linux-gnu", "usr/lib/p7zip", "usr/lib")
        return {"LD_LIBRARY_PATH": ":".join(str(self.root / each) for each in folders)}

    def tool(self, name: str) -> Path:
        """One of the Android tools."""
        return self.root / "usr/lib/android-sdk/build-tools/debian" / name

    def jar(self, name: str) -> Path:
        """A jar of the Debian packages."""
        return self.root / "usr/share/java" / f"{name}.jar"

    @property
    def runtime_jar(self) -> Path:
        """ONNX Runtime's classes."""
        return self.root / "aar/classes.jar"

    def sources(self, module: str, kind: str = "main") -> list[Path]:
        """A module's Java files."""
        return sorted((self.demo / module / "src" / kind / "java").rglob("*.java"))

    def call(self, name: str, *arguments: str | Path) -> str:
        """Run one of the Android tools."""
        return run([self.tool(name), *arguments], environment=self.environment)


def build_apk(kit: Kit, assets: Path) -> Path:
    """The signed APK.

    Args:
        assets: what the app holds.
    """
    work = kit.build / "apk"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    resources = link_resources(kit, work, assets)
    classes = compile_java(kit, work)
    dex = make_dex(kit, work, classes)
    unsigned = work / "unsigned.apk"
    assemble(resources, dex, sorted((kit.root / "aar/jni" / ABI).glob("*.so")), unsigned)
    return sign(kit, unsigned, kit.build / "onenet-demo.apk")


def value(file: Path, pattern: str) -> str:
    """What a Gradle file says."""
    found = re.search(pattern, file.read_text())
    if found is None:
        raise Failed(f"{file} holds no {pattern}")
    return found[1]


def link_resources(kit: Kit, work: Path, assets: Path) -> Path:
    """Resources, assets and the manifest as Gradle would merge it; writes R.java as well."""
    app, gradle = kit.demo / "app/src/main", kit.demo / "app/build.gradle"
    manifest = (app / "AndroidManifest.xml").read_text()
    instrumentation = re.search(r"<instrumentation.*?/>", (kit.demo / "bench/src/main/AndroidManifest.xml").read_text(), re.S)
    if instrumentation is None:
        raise Failed("bench/src/main/AndroidManifest.xml holds no instrumentation")
    package = value(gradle, r"applicationId '([\w.]+)'")
    merged = manifest.replace("<manifest ", f'<manifest package="{package}" ', 1)
    merged = merged.replace("<application", f"{instrumentation[0]}\n    <application", 1)
    (work / "AndroidManifest.xml").write_text(merged)
    kit.call("aapt2", "compile", "--dir", app / "res", "-o", work / "resources.zip")
    options = ["-I", kit.jar("com.android.android-23"), "-A", assets, "-0", ".onnx", "-0", ".tflite", "--java", work / "gen"]
    numbers = {
        "min-sdk-version": r"minSdk (\d+)",
        "target-sdk-version": r"targetSdk (\d+)",
        "version-code": r"versionCode (\d+)",
    }
    for name, pattern in {**numbers, "version-name": r"versionName '([\w.]+)'"}.items():
        options += [f"--{name}", value(gradle, pattern)]
    result = work / "resources.apk"
    kit.call("aapt2", "link", "-o", result, "--manifest", work / "AndroidManifest.xml", *options, work / "resources.zip")
    return result


def compile_java(kit: Kit, work: Path) -> Path:
    """All modules against the stubs of the oldest platform that Debian has: what compiles calls nothing newer."""
    classes, stubs = work / "classes", work / "stubs"
    platform = ["-bootclasspath", kit.jar("com.android.android-23")]
    stub_sources = sorted((kit.demo / "tools/stubs").rglob("*.java"))
    run([*JAVAC, *platform, "-d", stubs, *stub_sources])
    sources = [each for module in MODULES for each in kit.sources(module)]
    path = f"{stubs}:{kit.runtime_jar}"
    run([*JAVAC, *platform, "-cp", path, "-d", classes, *sources, *sorted((work / "gen").rglob("*.java"))])
    return classes


def make_dex(kit: Kit, work: Path, classes: Path) -> Path:
    """Everything as Dalvik's bytecode. ONNX Runtime's classes are Java 17's, and are lowered first."""
    asm, lowered, lower = kit.jar("asm"), work / "lowered", work / "lower"
    run(["javac", "-cp", asm, "-d", lower, kit.demo / "tools/lowering/Lower.java"])
    run(["java", "-cp", f"{asm}:{lower}", "Lower", kit.runtime_jar, lowered])
    keep = ["-dontshrink", "-dontoptimize", "-dontobfuscate", "-dontwarn", "-dontnote", "-target", "1.7"]
    libraries = ["-libraryjars", kit.jar("com.android.android-23")]
    old = work / "onnxruntime.jar"
    proguard = f"{kit.jar('proguard')}:{asm}"
    run(["java", "-cp", proguard, "proguard.ProGuard", "-injars", lowered, "-outjars", old, *libraries, *keep])
    minimum = value(kit.demo / "app/build.gradle", r"minSdk (\d+)")
    dex = work / "classes.dex"
    dx = ["java", "-cp", kit.jar("com.android.dx"), "com.android.dx.command.Main", "--dex"]
    run([*dx, f"--min-sdk-version={minimum}", f"--output={dex}", classes, old])
    return dex


def assemble(resources: Path, dex: Path, libraries: list[Path], result: Path) -> None:
    """One zip: what aapt2 made, the dex and the libraries, none of them compressed and each where the loader can map it."""
    with zipfile.ZipFile(resources) as source, zipfile.ZipFile(result, "w") as target:
        for entry in source.infolist():
            stored = entry.compress_type == zipfile.ZIP_STORED
            add(target, entry.filename, source.read(entry), 4 if stored else None)
        add(target, dex.name, dex.read_bytes(), 4)
        for library in libraries:
            add(target, f"lib/{ABI}/{library.name}", library.read_bytes(), PAGE)


def add(target: zipfile.ZipFile, name: str, data: bytes, alignment: int | None) -> None:
    """An entry without a date. With an alignment it is not compressed, and its data begin at a multiple of that."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED if alignment is None else zipfile.ZIP_STORED
    entry.external_attr = 0o644 << 16
    if alignment is not None:
        begin = target.start_dir + 30 + len(name.encode())  # where an extra field would begin
        padding = -(begin + 6) % alignment
        entry.extra = struct.pack("<HHH", ALIGNMENT, 2 + padding, alignment) + bytes(padding)
    target.writestr(entry, data)


def sign(kit: Kit, unsigned: Path, result: Path) -> Path:
    """With a debug key, which is made once."""
    key = kit.build / "debug.keystore"
    if not key.is_file():
        names = ["-alias", "debug", "-dname", "CN=Android Debug", "-storepass", PASSWORD, "-keypass", PASSWORD]
        run(["keytool", "-genkeypair", "-keystore", key, "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000", *names])
    options = ["--ks", key, "--ks-pass", f"pass:{PASSWORD}", "--min-sdk-version", "26", "--out", result, unsigned]
    run([*signer(kit), "sign", *options])
    return result


def signer(kit: Kit) -> list[str | Path]:
    """The command of apksigner."""
    return ["java", "-cp", f"{kit.jar('apksigner')}:{kit.jar('apksig')}", "com.android.apksigner.ApkSignerTool"]
