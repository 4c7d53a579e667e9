"""Phones through a real adb client, on a daemon of our own that can misbehave; the runner there is a shell script."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onenet.errors import OneNetError, RequestError, ToolError
from onenet.runtimes import open_session
from onenet.runtimes.agent.content import golden_inputs
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.agent.records import State
from onenet.runtimes.devices import Job, native, open_device
from onenet.runtimes.devices.adb import android, bridge, runners
from onenet.runtimes.devices.adb import device as adb
from onenet.runtimes.devices.adb import open_device as open_adb
from onenet.runtimes.devices.answers import read_as
from onenet.runtimes.measure import document
from tests.device import tiny
from tests.device.adbd import Faults, Phone, fake_phone, until
from tests.device.phone import DROID, private_adb

needs_adb = pytest.mark.skipif(not shutil.which("adb"), reason="there is no adb here")
QUICK = Plan(threads=(1,), runs=3, seconds=0, rounds=2, warmup_runs=1, warmup_seconds=0)
ANSWER = {
    "runtime": {"name": "ai-edge-litert", "version": ""},
    **{"load_ms": 1.5, "first_ms": 3.0, "warmup_runs": 1, "samples_ms": [2.0, 2.5, 2.25]},
    **{"peak_bytes": 4096, "baseline_bytes": 1024, "outputs": ["logits"], "sustained": None},
}
MINUTES = {"minutes": [{"minute": 1, "n": 3, "p50_ms": 2, "p90_ms": 2, "p99_ms": 2}], "drop_percent": 0}
WAITS = "echo $$ > $ROOT/pid; cat > /dev/null; exit 3"
"""As the runner does when it hangs: until its stdin ends."""

# --- fixtures -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with private_adb(tmp_path_factory.mktemp("adb")):
        yield


@pytest.fixture(scope="module")
def artifact() -> Path:
    return tiny.artifact("tflite", "fp32")


@pytest.fixture(scope="module")
def right_outputs(artifact: Path) -> bytes:
    """The golden output, computed here."""
    (value,) = open_session(artifact).run(golden_inputs(artifact)).values()
    return bytes(value.tobytes())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A runner that is a script of the phone's."""
    folder = tmp_path_factory.mktemp("native")
    (folder / native.LOADER).write_text("#!/bin/sh\n. $ROOT/behaviour\n")
    for name in (native.RUNNER, "libLiteRt.so", "libonnxruntime.so"):
        (folder / name).write_text(name)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    runtimes = {
        "litert": {"library": "libLiteRt.so", "version": "2.3.0"},
        "onnxruntime": {"library": "libonnxruntime.so", "version": "1.31.1"},
    }
    (folder / native.DESCRIPTION).write_text(json.dumps({"files": files, "runtimes": runtimes}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.VARIABLE, str(folder))
        yield


Plug = Callable[..., tuple[Phone, adb.Phone]]


@pytest.fixture
def plug(tmp_path: Path, server: None, bundle: None, right_outputs: bytes) -> Iterator[Plug]:
    """``plug(behaviour, faults)``: a phone whose runner does that, and our device on it."""
    del server, bundle
    opened: list[Any] = []

    def make(behaviour: str = "", faults: Faults | None = None, properties: str = "") -> tuple[Phone, adb.Phone]:
        root = tmp_path / f"phone{len(opened)}"
        context = fake_phone(root, faults)
        phone = context.__enter__()
        furnish(root, properties)
        (root / "output").write_bytes(right_outputs)
        (root / "answer").write_text(json.dumps(ANSWER, separators=(",", ":")) + "\n")
        say = 'for each; do case $each in outputs=*) cp $ROOT/output "${each#outputs=}/0";; esac; done; cat $ROOT/answer'
        (root / "behaviour").write_text(behaviour or say)
        device = open_adb(phone.serial)
        opened.append((context, device))
        return phone, device

    yield make
    for context, device in opened:
        device.close()
        context.__exit__(None, None, None)
    subprocess.run(["adb", "disconnect"], check=True, capture_output=True)


def furnish(root: Path, properties: str) -> None:
    """Android's programs, as far as they are asked."""
    programs = root / "system/bin"
    programs.mkdir(parents=True)
    shutil.copytree(DROID / "services", root / "system/services")
    (root / "system/build.prop").write_text(properties or (DROID / "build.prop").read_text())
    for name in ("getprop", "dumpsys"):
        script = (DROID / name).read_text().replace("#!/system/bin/sh", "#!/bin/sh").replace("/system/", "$ROOT/system/")
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)


def refusal(kind: type[OneNetError], device: adb.Phone, path: Path, plan: Plan = QUICK, **job: Any) -> str:
    with pytest.raises(kind) as caught:
        device.measure(Job(path, plan, **job))
    text = str(caught.value)
    assert text.isprintable()
    return text


def remains(root: Path, pattern: str = "*") -> list[str]:
    return sorted(path.name for path in (root / "data/local/tmp").rglob(pattern) if path.is_file())


def is_over(root: Path) -> bool:
    """Whether the runner, which wrote down its number, has ended.

    One that was ended together with its shell stays in the list of processes, as a zombie, until the system's first process
    looks after it. On a busy machine that takes long.
    """
    try:
        status = Path(f"/proc/{(root / 'pid').read_text().strip()}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


# --- measuring ------------------------------------------------------------------------------------------------------------


@needs_adb
def test_a_measurement(plug: Plug, artifact: Path) -> None:
    phone, device = plug()
    said: list[str] = []
    content = device.measure(Job(artifact, QUICK, say=said.append))
    found = document.validate({**content, "measured": document.now()}, "it")
    assert found.parity.passed and found.parity.where == "host"
    assert (found.device.kind, found.device.model, found.device.system) == (
        "adb",
        "Onenet Phone of Tests",
        "Android 14 (API 34)",
    )
    assert (found.runtime.name, found.runtime.version) == ("ai-edge-litert", "2.3.0")
    (row,) = found.rows
    assert (len(row.rounds), row.summary.n, row.summary.p50_ms, row.peak_bytes, row.baseline_bytes) == (2, 6, 2.25, 4096, 1024)
    assert len(row.states) == 3 and row.states[0].temperature_c["battery"] == 29.1 and row.states[0].throttled == "no"
    assert [text.split()[0].strip(",") for text in said] == ["connecting", "pushing", "measuring", "measuring"]
    assert not remains(phone.root, "*.part") and "libonnxruntime.so" not in remains(phone.root)


@needs_adb
def test_what_lies_there_is_not_pushed_again_and_all_of_it_is_removed(plug: Plug, artifact: Path) -> None:
    phone, device = plug()
    device.measure(Job(artifact, QUICK))
    assert all(path.startswith("/data/local/tmp/onenet/") for path in phone.pushed)
    phone.pushed.clear()
    device.measure(Job(artifact, QUICK))
    assert phone.pushed == []
    damaged = phone.root / "data/local/tmp/onenet/native/libLiteRt.so"
    damaged.write_text("damaged")
    device.measure(Job(artifact, QUICK))
    assert phone.pushed == ["/data/local/tmp/onenet/native/libLiteRt.so.part"]
    assert damaged.read_text() == "libLiteRt.so"
    device.clean()
    assert list((phone.root / "data/local/tmp").iterdir()) == []


@needs_adb
def test_a_wrong_output_fails_the_golden_check(plug: Plug, artifact: Path, right_outputs: bytes) -> None:
    phone, device = plug()
    (phone.root / "output").write_bytes(right_outputs[::-1])
    assert device.measure(Job(artifact, QUICK))["parity"]["passed"] is False
    (phone.root / "output").write_bytes(right_outputs[:-4])
    assert "bytes for logits" in refusal(ToolError, device, artifact)


@needs_adb
def test_an_old_phone_without_exit_codes(plug: Plug, artifact: Path) -> None:
    _, device = plug(faults=Faults(old=True))
    assert device.measure(Job(artifact, QUICK))["parity"]["passed"]
    _, device = plug("echo runner: no room for it >&2; exit 1", Faults(old=True))
    assert refusal(ToolError, device, artifact).endswith("cannot be measured on " + device.name + ": no room for it")


@needs_adb
@pytest.mark.parametrize("name", ["; rm -rf x.tflite", "a\nb.tflite", "-r; x.tflite", "a b $(id) `id`.tflite", "'\".tflite"])
def test_the_name_of_a_file_reaches_no_shell(plug: Plug, artifact: Path, tmp_path: Path, name: str) -> None:
    phone, device = plug()
    shutil.copy(artifact, tmp_path / name)
    assert device.measure(Job(tmp_path / name, QUICK))["parity"]["passed"]
    assert not any(name.removesuffix(".tflite") in command for command in (*phone.commands, *phone.pushed))


@needs_adb
def test_throttling_and_battery_are_said(plug: Plug, artifact: Path) -> None:
    phone, device = plug()
    for file, old, new in (
        ("battery", "USB powered: true", "USB powered: false"),
        ("thermalservice", "Status: 0", "Status: 3"),
    ):
        service = phone.root / "system/services" / file
        service.write_text(service.read_text().replace(old, new))
    content = device.measure(Job(artifact, Plan(**{**QUICK.as_dict(), "profile": True})))
    assert {each["name"] for each in content["warnings"]} >= {"throttled", "battery", "no-profile"}
    assert content["rows"][0]["states"][0]["throttled"] == "severe"
    findings = {each.what: each for each in device.examine().findings}
    assert findings["throttling"].found == "severe" and findings["power"].found == "battery"
    assert device.examine().healthy


# --- finding it -----------------------------------------------------------------------------------------------------------


def test_without_adb(artifact: Path, monkeypatch: pytest.MonkeyPatch, bundle: None) -> None:
    del bundle
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    assert "phones need adb" in refusal(ToolError, open_adb(""), artifact)


@needs_adb
def test_no_phone_and_several(plug: Plug, artifact: Path) -> None:
    assert "adb knows no phone" in refusal(ToolError, open_adb(""), artifact)
    phones = [plug() for _ in range(2)]
    for phone, _ in phones:
        subprocess.run(["adb", "connect", phone.serial], check=True, capture_output=True)
    text = refusal(RequestError, open_adb(""), artifact)
    assert "2 phones" in text and all(phone.serial in text for phone, _ in phones)
    assert "no phone 'abc'" in refusal(ToolError, open_adb("abc"), artifact)
    subprocess.run(["adb", "disconnect", phones[1][0].serial], check=True, capture_output=True)
    assert open_adb("").measure(Job(artifact, QUICK))["parity"]["passed"]


@needs_adb
def test_a_connection_that_was_not_made_here_stays(plug: Plug) -> None:
    (first, one), (second, other) = plug(), plug()
    subprocess.run(["adb", "connect", first.serial], check=True, capture_output=True)
    for device in (one, other):
        device.examine()
        device.close()
    assert list(bridge.Bridge("adb", "").listed()) == [first.serial]
    assert second.commands


@needs_adb
def test_a_port_where_nobody_listens(artifact: Path, server: None, bundle: None) -> None:
    """``adb connect`` says so, and ends with 0."""
    del server, bundle
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        serial = f"127.0.0.1:{any_socket.getsockname()[1]}"
    text = refusal(ToolError, open_adb(serial), artifact)
    assert "cannot be connected to: failed to connect to" in text


@needs_adb
def test_a_phone_that_does_not_trust_this_computer(plug: Plug, artifact: Path) -> None:
    _, device = plug(faults=Faults(trusted=False))
    assert "Allow USB debugging?" in refusal(ToolError, device, artifact)


@pytest.mark.parametrize("serial", ["-x", "--help", "a\nb", ""])
def test_serials_that_cannot_be(serial: str) -> None:
    with pytest.raises(RequestError, match="cannot be one"):
        open_device(f"adb:{serial}")
    if serial.startswith("-"):
        with pytest.raises(RequestError, match="cannot be one"):
            open_adb(serial)


@needs_adb
@pytest.mark.parametrize("serial", ["; rm -rf /", "$(id)", "a b", "-s x:5555 y"])
def test_a_serial_reaches_no_shell(serial: str, artifact: Path, server: None, bundle: None) -> None:
    del server, bundle
    assert "there is no phone" in refusal(ToolError, bridge_only(serial), artifact)


def bridge_only(serial: str) -> adb.Phone:
    device = adb.Phone("x")
    device.bridge.wanted = serial
    return device


# --- faults ---------------------------------------------------------------------------------------------------------------


@needs_adb
def test_gone_while_files_are_pushed(plug: Plug, artifact: Path) -> None:
    faults = Faults(hangs_up_after_bytes=0)
    phone, device = plug(faults=faults)
    assert f"{device.name} went away while files were pushed" in refusal(ToolError, device, artifact)
    assert all(name.endswith(".part") for name in remains(phone.root))
    faults.hangs_up_after_bytes = None
    assert device.measure(Job(artifact, QUICK))["parity"]["passed"]
    assert not remains(phone.root, "*.part")


@needs_adb
@pytest.mark.parametrize("minutes", [0.0, 0.5])
@pytest.mark.parametrize("old", [False, True])
def test_gone_while_measuring(plug: Plug, artifact: Path, minutes: float, old: bool) -> None:
    phone, device = plug(WAITS, Faults(hangs_up_at=native.RUNNER, old=old))
    plan = Plan(**{**QUICK.as_dict(), "sustained_minutes": minutes, "rounds": 1})
    assert f"{device.name} went away while measuring" in refusal(ToolError, device, artifact, plan)
    assert (phone.root / "pid").exists()
    assert until(lambda: is_over(phone.root))


@needs_adb
def test_a_runner_that_hangs(plug: Plug, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "GRACE", 0.5)
    phone, device = plug(WAITS)
    plan = Plan(**{**QUICK.as_dict(), "timeout": 3.0})
    assert "a larger --timeout waits longer" in refusal(ToolError, device, artifact, plan)
    assert until(lambda: is_over(phone.root))


@needs_adb
@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("kill -KILL $$", "was killed, as Android does where memory runs out"),
        ("kill -ALRM $$", "did not finish on"),
        ("kill -SEGV $$", "ended the runner on adb:.* with SIGSEGV"),
        (
            "echo runner: the model has an input a, and more >&2; exit 1",
            "cannot be measured on .*: the model has an input a, and",
        ),
        ("exit 1", "cannot be measured on .*: exit code 1"),
        ("echo hello", "gave no answer of ours, but 'hello'"),
        ("head -c 1000 /dev/urandom", "gave no answer of ours"),
        ("""echo '{"runtime": 5'""", "gave no answer of ours"),
        ("""echo '{"runtime":{"name":"x","version":""},"samples_ms":[]}'""", "gave no answer of ours"),
        ("sed s/2.25/-1/ $ROOT/answer", "gave no answer of ours"),
        ("sed s/2.25/1e999/ $ROOT/answer", "gave no answer of ours"),
        ("yes", "answered with more than 4 MB"),
    ],
)
def test_a_runner_that_fails(plug: Plug, artifact: Path, behaviour: str, says: str) -> None:
    phone, device = plug(f"echo $$ > $ROOT/pid; {behaviour}")
    with pytest.raises(ToolError, match=says) as caught:
        device.measure(Job(artifact, QUICK))
    assert str(caught.value).isprintable()
    assert until(lambda: is_over(phone.root))
    assert not list((phone.root / "data/local/tmp/onenet").glob("*.out"))


@needs_adb
@pytest.mark.parametrize(
    ("faults", "says"),
    [
        (Faults(refuses="couldn't create file: No space left on device"), "its storage is full: .* --clean"),
        (Faults(refuses="couldn't create file: Read-only file system"), "its storage is read-only"),
        (Faults(refuses="couldn't create file: Permission denied"), "adb shell rm -r /data/local/tmp/onenet"),
        (Faults(spoils=True), "arrived on .* with another SHA-256"),
    ],
)
def test_files_that_are_not_taken(plug: Plug, artifact: Path, faults: Faults, says: str) -> None:
    phone, device = plug(faults=faults)
    with pytest.raises(ToolError, match=says):
        device.measure(Job(artifact, QUICK))
    assert remains(phone.root) == []


@needs_adb
def test_a_folder_that_cannot_be_made(plug: Plug, artifact: Path) -> None:
    phone, device = plug()
    (phone.root / "data/local/tmp/onenet").write_text("a file")
    assert "did not take a file" in refusal(ToolError, device, artifact) or "File exists" in refusal(
        ToolError, device, artifact
    )


@needs_adb
@pytest.mark.parametrize("abi", ["x86_64", "armeabi-v7a", ""])
def test_another_processor(plug: Plug, artifact: Path, abi: str) -> None:
    phone, device = plug(properties=f"ro.product.cpu.abi={abi}\n")
    assert "native runner is built for arm64-v8a alone" in refusal(RequestError, device, artifact)
    assert phone.pushed == [] and not device.examine().healthy


def test_what_is_refused_before_anything_is_asked(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = open_adb("")
    assert "supported: .tflite, .onnx" in refusal(RequestError, device, tmp_path / "x.mlpackage")
    assert "'torch' was asked for" in refusal(RequestError, device, artifact, runtime="torch")
    assert "benchmark_model" in refusal(RequestError, device, tmp_path / "x.onnx", runtime="benchmark_model")
    monkeypatch.setenv(native.VARIABLE, str(tmp_path))
    assert "`make native`" in refusal(RequestError, device, artifact)
    (tmp_path / native.DESCRIPTION).write_text('{"files": {"runner": "0"}, "runtimes": {}}')
    assert "lacks 'runner'" in refusal(RequestError, device, artifact)
    (tmp_path / native.DESCRIPTION).write_text("[")
    assert "is damaged" in refusal(RequestError, device, artifact)


# --- benchmark_model ------------------------------------------------------------------------------------------------------

PRINTED = """STARTING!
Log parameter values verbosely: [0]
Graph: [/data/local/tmp/x.tflite]
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
The input model file size (MB): 0.9
Initialized session in 17.5ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=4 first=160 curr=150 min=140 max=160 avg=150 std=5

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=53 first=1890000 curr=2913402 min=1800000 max=3189954 avg=1.95034e+06 std=109798

Inference timings in us: Init: 17500, First inference: 3512391, Warmup (avg): 150, Inference (avg): 1.95034e+06
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE.
Memory footprint delta from the start of the tool (MB): init=4.2 overall=46.1
Overall peak memory footprint (MB) via periodic monitoring: 12.5
"""


def test_what_benchmark_model_prints() -> None:
    found, runs = android.benchmark_round(PRINTED)
    times = {"load_ms": 17.5, "first_ms": 3512.391, "warmup_runs": 4, "samples_ms": [1950.34]}
    assert (found.as_dict(), runs) == ({**times, "peak_bytes": 12_500_000}, 53)
    assert android.benchmark_round(PRINTED.replace("Overall peak", ""))[0].peak_bytes is None
    for damaged in ("", "count=1 curr=5\n", PRINTED.replace("count=53", "")):
        with pytest.raises(ToolError, match="Inference timings"):
            android.benchmark_round(damaged)


@needs_adb
def test_benchmark_model_on_the_phone(plug: Plug, artifact: Path) -> None:
    phone, device = plug()
    assert "adb push it there" in refusal(RequestError, device, artifact, runtime="benchmark_model")
    program = phone.root / "data/local/tmp/benchmark_model"
    (phone.root / "printed").write_text(PRINTED)
    program.write_text('#!/bin/sh\nfor each; do echo "$each"; done\ncat $ROOT/printed\n')
    program.chmod(0o755)
    content = device.measure(Job(artifact, QUICK, runtime="benchmark_model"))
    document.validate({**content, "measured": document.now()}, "it")
    assert content["rows"][0]["summary"]["p50_ms"] == 1950.34
    assert content["parity"]["checks"][0]["passed"] is None
    assert [each["name"] for each in content["warnings"] if each["name"] == "means"]
    program.write_text("#!/bin/sh\necho no such operator; exit 1\n")
    assert refusal(ToolError, device, artifact, runtime="benchmark_model").endswith("no such operator")


# --- what a phone says of itself ------------------------------------------------------------------------------------------


def test_an_answer_of_nothing() -> None:
    """A phone may refuse every question."""
    assert android.identity({}, "adb", "adb").model == "unknown" and android.abi({}) == "unknown"
    state = android.state({}, 1.0)
    assert {key for key, value in state.as_dict().items() if value not in (None, {}, [])} == {"seconds"}
    assert read_as(State, state.as_dict()) == state


def test_temperatures_that_are_none_are_left_out() -> None:
    zones = "34500 skin\n-273000 gone\n1600000 bcl-current\n0 off\n junk\nx y\n41000 cpu-0"
    assert android.temperatures({"zones": zones}, {}) == {"skin": 34.5, "cpu-0": 41.0}
    many = "\n".join(f"{1000 * (n % 90 + 1)} zone{n}" for n in range(200))
    assert len(android.temperatures({"zones": many}, {"temperature": "291"})) == android.MOST_ZONES


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"properties": "[ro.kernel.qemu]: [1]\n[ro.hardware]: [ranchu]"}, "an Android emulator (ranchu)"),
        ({"properties": "[ro.hardware]: [goldfish]"}, "an Android emulator (goldfish)"),
        ({"modalias": "cpu:type:x86,ven0000fam0006"}, "emulated on x86"),
        ({"shell": "/usr/bin/qemu-aarch64\0/bin/sh\0-c"}, "qemu"),
        ({"shell": "sh\0-c\0qemu-aarch64", "properties": "[ro.hardware]: [qcom]"}, None),
        ({"modalias": "cpu:type:aarch64:feature:,0000"}, None),
    ],
)
def test_emulation_is_seen(answer: dict[str, str], found: str | None) -> None:
    assert android.emulated(answer) == found


def test_the_script_asks_and_its_answer_is_taken_apart() -> None:
    questions = {"one": "echo first; echo second", "two": "false", "three": "echo 'onenet-section: no'"}
    done = subprocess.run(["sh", "-c", android.script(questions)], capture_output=True, text=True, check=False)
    assert android.sections(done.stdout) == {"one": "first\nsecond", "two": "", "three": "onenet-section: no"}
