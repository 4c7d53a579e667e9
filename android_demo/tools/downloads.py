"""What the build needs of others: Debian and npm packages, each known by its SHA-256 and kept in a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from steps import Failed, run

KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT = """
APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }}; APT::Sandbox::User ""; Acquire::Languages "none";
Dir::Etc "{state}/etc"; Dir::Etc::sourcelist "{state}/etc/sources.list"; Dir::Etc::sourceparts "-";
Dir::State "{state}"; Dir::State::status "{state}/status"; Dir::Cache "{state}"; Debug::NoLocking "true";
"""


@dataclass(frozen=True)
class Package:
    """One file. ``suite`` is a Debian release, or ``npm``."""

    suite: str
    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """Its name in the folder of downloads."""
        return f"{self.name}-{self.version.replace(':', '.')}.{'tgz' if self.suite == 'npm' else 'deb'}"


# fmt: off
PACKAGES = tuple(Package(*line.split()) for line in """
bullseye dalvik-exchange 10.0.0+r36-1 8fc128db7c27253d963eb9b33de79b197162a4749d2ba69019b2fd0664cbd7fe
bullseye libandroid-23-java 6.0.1+r72-6 8af1b6df556971dda0a6da3536ea526a838e0c363afcdd454213d8bce94793e3
bookworm aapt 1:10.0.0+r36-10 a4790dd07923a45ba17982d257abbce3f8050e8b30b0952545255502a5d1f505
bookworm android-libandroidfw 1:10.0.0+r36-10 26add03f0edf12da9d710b9be2bf0ec867f583d490135d99b9789bbbfe1bab4e
bookworm android-libutils 1:29.0.6-28 c9554365cd0d20ac22138195963b2b790e45fc3edade3626a05311a9cae5cf36
bookworm android-libbase 1:29.0.6-28 c651582c9beb229b6a4581eef5d03796293aa2da3b602eafc5427b198060819f
bookworm android-libziparchive 1:29.0.6-28 e6d674143b948017a96740f449547799127feba75109875446c89e0e05a3e29d
bookworm android-liblog 1:29.0.6-28 d495761ec2dc87070f6ac75c771d221d05e2be387cbaeab7e7c7fcd740ce4ce2
bookworm android-libbacktrace 1:29.0.6-28 78733043d8e8f5906eb969a18c3178c1898f50d3684de23398a3eeb7ba7ea122
bookworm android-libcutils 1:29.0.6-28 12ac0a99beb683269d77af09bf80ddd7b8c428fda442c05070ea3ff50429718c
bookworm p7zip-full 16.02+really26.01+dfsg-0+deb12u1 91624c886bf525705beb66dd2bb063015c5cab4e51d9f08d9464cbbb53b00cb7
bookworm libprotobuf-lite32 3.21.12-3+deb12u1 441812aa574e1baa4435a9b62c34a39e0fc4177994ccfb35fab5a03ef6ef1e8d
bookworm libzopfli1 1.0.3-1 3e38ea3c54c9cab39943ef7c6df6ac0868768244afcf088d2cfdd3fb85e5710d
bookworm zipalign 1:10.0.0+r36-1 522d9efffbd2602a508530e58c8e2f21b1fb2598c7986350e41906d439e4758c
bookworm dexdump 11.0.0+r48-5 cda30e433ee1cf5463800a09abeb010e8962ec14886f9851b0482724e38ac152
bookworm android-libart 11.0.0+r48-5 0b564ead30c91a6640c48138f7167d339770b0d17a43568c90a98dbc0f3226b1
bookworm android-libnativebridge 1:11.0.0+r48-5 1a70201b4f28566d5de3a83c15787c096812fa3ab07360ff49dbc2208111ed08
bookworm android-libnativeloader 1:11.0.0+r48-5 cc2ef4aad7cbedd4a6788aa4f7e38fa86e52fb97c2f30aa768b811829d164d2c
bookworm liblz4-1 1.9.4-1 64cde86cef1deaf828bd60297839b59710b5cd8dc50efd4f12643caaee9389d3
bookworm libatomic1 12.2.0-14+deb12u1 fbd4e154a6b444229ea002cc209df099209c0adc09102e5fd21239a3d2b55e2d
bookworm apksigner 31.0.2-1 6ded96d6156f8b0bc1355e87b5fad8e6ebfcf8a694dedd9987768b37a41878d4
bookworm libapksig-java 31.0.2-1 cfb1babb843de0c7490c4554dca31187ceb326ea7f53c9cd77e9ce46342cba59
bookworm junit4 4.13.2-3 2f516bef5fa0f714da4f8b95c367c00aea64159c099c5157579fb95823dbcc56
bookworm libhamcrest-java 2.2-1 a3e84b0462e4bd75bfcd34dd46c9a5db6b9e7174da2d120339f4dc89aab90a56
bookworm libproguard-java 6.2.2-3 61a0f6f6666c8f336e11ecd54af4a78ed9ef384df264078eda2f9321dbd7ea03
bookworm libasm-java 9.4-1 df86dcfa204fd084b4bdec98ded755905614066bafee012ac82fcc94d8958079
npm com.github.asus4.onnxruntime 0.4.8 007a59a954d2161ffb1b3977a649c7945ee37bf30ad493891d4252c02e9536a4
npm react-native-fast-tflite 1.4.0 101ea34de5548cbc58a17b0704e33861e31265d64386d2938d8d8987f112533e
""".strip().splitlines())
# fmt: on
NPM_PARTS = ("package/Plugins/Android/onnxruntime.aar", "package/android/src/main/cpp/lib/tensorflow/jni")
"""Of the npm packages only these are unpacked: ONNX Runtime's AAR, and TFLite's libraries for Android."""


def fetch(folder: Path) -> None:
    """Bring every package that is not there yet into a folder.

    Raises:
        Failed: one cannot be had, or is another file than the one that is pinned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [each for each in PACKAGES if not is_there(folder, each)]
    for suite in dict.fromkeys(each.suite for each in missing):
        wanted = [each for each in missing if each.suite == suite]
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            (fetch_npm if suite == "npm" else fetch_debian)(wanted, Path(scratch))
            for package in wanted:
                keep(package, Path(scratch), folder)


def is_there(folder: Path, package: Package) -> bool:
    """Whether a package is there, and the right one."""
    file = folder / package.file
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == package.sha256


def keep(package: Package, scratch: Path, folder: Path) -> None:
    """Move a package from where it was fetched to where it is kept, if it is the right one."""
    found = [each for each in scratch.iterdir() if each.name.startswith((f"{package.name}_", f"{package.name}-"))]
    if len(found) != 1:
        raise Failed(f"{package.suite} gave no {package.name} {package.version}; look for its new version and pin that")
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if digest != package.sha256:
        raise Failed(f"{package.name} {package.version} has SHA-256 {digest}, pinned is {package.sha256}; it was not kept")
    os.replace(found[0], folder / package.file)


def fetch_npm(packages: list[Package], scratch: Path) -> None:
    """By npm, from the registry that it is set to."""
    run(["npm", "pack", "--silent", *(f"{each.name}@{each.version}" for each in packages)], folder=scratch)


def fetch_debian(packages: list[Package], scratch: Path) -> None:
    """By apt with a state of its own, from the mirror that this machine uses: nothing is installed."""
    state = scratch / "apt"
    for each in ("etc/apt.conf.d", "etc/preferences.d", "lists/partial", "archives/partial"):
        (state / each).mkdir(parents=True)
    (state / "status").touch()
    suite = packages[0].suite
    (state / "etc/sources.list").write_text(f"deb [signed-by={KEYS}] {mirror()} {suite} main\n")
    configuration = state / "apt.conf"
    configuration.write_text(APT.format(state=state))
    environment = {"APT_CONFIG": str(configuration)}
    run(["apt-get", "-qq", "update"], environment=environment)
    names = [f"{each.name}={each.version}" for each in packages]
    run(["apt-get", "-qq", "download", *names], folder=scratch, environment=environment)
    shutil.rmtree(state)


def mirror() -> str:
    """The Debian mirror of this machine, or the environment's DEBIAN_MIRROR."""
    sites = run(["apt-get", "indextargets", "--format", "$(SITE)"]).split()
    found = [os.environ.get("DEBIAN_MIRROR", ""), *(each for each in sites if each.rstrip("/").endswith("/debian"))]
    if not any(found):
        raise Failed("no Debian mirror is known here; name one in the variable DEBIAN_MIRROR")
    return next(filter(None, found))


def unpack(folder: Path, root: Path) -> None:
    """Every package into one tree. It is made anew, unless it was made of exactly these packages."""
    stamp, made_of = root / "made-of", "".join(f"{each.sha256}\n" for each in PACKAGES)
    if stamp.is_file() and stamp.read_text() == made_of:
        return
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for package in PACKAGES:
        file = str(folder / package.file)
        if package.suite != "npm":
            run(["dpkg-deb", "-x", file, str(root)])
            continue
        listed = subprocess.run(["tar", "tzf", file], capture_output=True, text=True, check=True).stdout.splitlines()
        run(["tar", "xzf", file, "-C", str(root), *(each for each in listed if each.startswith(NPM_PARTS))])
    aar = root / NPM_PARTS[0]
    shutil.unpack_archive(aar, root / "aar", "zip")
    stamp.write_text(made_of)
