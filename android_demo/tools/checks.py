"""What is asked of the APK, each question by a tool that did not make it."""

from __future__ import annotations

import re
from pathlib import Path

from apk import Kit, signer, value
from steps import Failed, run

MOST_BYTES = 30_000_000
CLASSES = ("Lonenet/demo/MainActivity;", "Lonenet/bench/Bench;", "Lonenet/core/Segmenter;", "Lai/onnxruntime/OrtSession;")
"""Some of what the app consists of."""
PERMISSIONS = ["android.permission.CAMERA"]


def check_apk(kit: Kit, apk: Path) -> str:
    """All checks; a summary.

    Raises:
        Failed: the first that does not hold.
    """
    size = apk.stat().st_size
    if size > MOST_BYTES:
        raise Failed(f"{apk.name} has {size} bytes; at most {MOST_BYTES} were asked for")
    verified = run([*signer(kit), "verify", "--verbose", "--min-sdk-version", "26", apk])
    for scheme in ("v2", "v3"):
        if not re.search(rf"Verified using {scheme} scheme.*: true", verified):
            raise Failed(f"{apk.name} is not signed by scheme {scheme}:\n{verified}")
    kit.call("zipalign", "-c", "-p", "4", apk)
    check_badging(kit, kit.call("aapt2", "dump", "badging", apk))
    count = check_dex(kit.call("dexdump", "-f", apk))
    return f"{size / 1e6:.1f} MB, signed (v2, v3), aligned, {count} classes, permissions {PERMISSIONS}"


def check_badging(kit: Kit, badging: str) -> None:
    """Package, versions of Android, permissions, and what starts the app."""
    gradle = kit.demo / "app/build.gradle"
    expected = [
        "package: name='" + value(gradle, r"applicationId '([\w.]+)'") + "'",
        "sdkVersion:'" + value(gradle, r"minSdk (\d+)") + "'",
        "targetSdkVersion:'" + value(gradle, r"targetSdk (\d+)") + "'",
        "launchable-activity: name='onenet.demo.MainActivity'",
        "native-code: 'arm64-v8a'",
    ]
    missing = [each for each in expected if each not in badging]
    asked = re.findall(r"uses-permission(?:-sdk-23)?: name='([^']+)'", badging)
    if missing or asked != PERMISSIONS:
        raise Failed(
            f"aapt2 shows no {', '.join(missing) or 'other permissions'}; it shows the permissions {asked}:\n{badging}"
        )


def check_dex(dump: str) -> int:
    """That the app's classes are there and those that were only compiled against are not; how many there are."""
    found = re.findall(r"Class descriptor\s*: '(L[^']+;)'", dump)
    missing = [each for each in CLASSES if each not in found]
    foreign = [each for each in found if each.startswith(("Lorg/tensorflow/", "Landroid/", "Ljava/"))]
    if missing or foreign:
        raise Failed(f"dexdump shows no {missing}, and {foreign[:3]} that do not belong there")
    return len(found)
