"""The native runner: built, in qemu by itself, and on an emulated phone behind the real adbd. Emulated times mean nothing."""

from __future__ import annotations

import functools
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onenet.base.quiet import quiet
from onenet.errors import OneNetError, RequestError, ToolError
from onenet.runtimes.agent.content import golden_inputs, judge_outputs
from onenet.runtimes.agent.latency import MOST_SAMPLES, Plan
from onenet.runtimes.devices import Job, native, open_device
from onenet.runtimes.devices.adb import device as adb
from onenet.runtimes.devices.adb import runners
from onenet.runtimes.devices.native import build
from onenet.runtimes.measure import document
from tests.device import lab, phone, tiny
from tests.device.adbd import until

QUICK = Plan(threads=(1,), runs=2, seconds=0, rounds=1, warmup_runs=1, warmup_seconds=0)
ARTIFACTS = [("tflite", "fp32"), ("tflite", "int8"), ("onnx", "fp32"), ("onnx", "int8")]


@functools.cache
def bundle() -> native.Bundle | str:
    """Built once for all test runs; or why it cannot be."""
    reason = lab.reason_against()
    if reason:
        return reason
    try:
        folder = lab.made_once([build.recipe()], lambda made: build.build(made / "native"))
    except OneNetError as error:
        return str(error)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.VARIABLE, str(folder / "native"))
        return native.find()


@pytest.fixture(scope="module")
def built() -> native.Bundle:
    found = bundle()
    if isinstance(found, str):
        pytest.skip(found)
    return found


# --- the program ----------------------------------------------------------------------------------------------------------


class Runner:
    """The runner in qemu, on one model."""

    def __init__(self, built: native.Bundle, folder: Path) -> None:
        self.built, self.folder, self.processor = built, folder, "cortex-a76"
        for name in ("in", "out", "home"):
            (folder / name).mkdir()

    def feed(self, values: Mapping[str, NDArray[Any]]) -> None:
        runners.write_inputs(values, self.folder / "in", "")

    def start(self, runtime: str, model: Path, **settings: object) -> subprocess.Popen[bytes]:
        where = self.built.folder
        values = {
            **{
                "runtime": runtime,
                "library": where / self.built.runtimes["litert" if runtime == "litert" else "onnxruntime"]["library"],
            },
            **{"model": model, "inputs": self.folder / "in", "outputs": self.folder / "out", "threads": 1},
            **{"runs": 2, "seconds": 0, "warmup_runs": 1, "warmup_seconds": 0, "deadline": 60, **settings},
        }
        words = [f"{key}={value}" for key, value in values.items() if value is not None]
        program = [str(lab.qemu()), str(where / native.LOADER), "--library-path", str(where), str(where / native.RUNNER)]
        pipe = subprocess.PIPE
        environment = {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "home"), "QEMU_CPU": self.processor}
        return subprocess.Popen([*program, *words], stdin=pipe, stdout=pipe, stderr=pipe, env=environment)

    def run(self, runtime: str, model: Path, **settings: object) -> dict[str, Any]:
        code, out, err = self.result(runtime, model, **settings)
        assert code == 0, err
        return runners.read_report(out, "the runner").as_dict()

    def result(self, runtime: str, model: Path, **settings: object) -> tuple[int, str, str]:
        with self.start(runtime, model, **settings) as process:
            assert process.stdin and process.stdout and process.stderr
            out, err = process.stdout.read().decode(), process.stderr.read().decode()
        return process.returncode, out, err


@pytest.fixture
def runner(built: native.Bundle, tmp_path: Path) -> Runner:
    return Runner(built, tmp_path)


@pytest.fixture(scope="module")
def two_by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX model of two inputs and two outputs, of four types: whole = int64(a + b), sum = a + b."""
    import onnx
    from onnx import TensorProto as Type
    from onnx import helper

    nodes = [
        helper.make_node("Cast", ["a"], ["float a"], to=Type.FLOAT),
        helper.make_node("Add", ["float a", "b"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["whole"], to=Type.INT64),
    ]
    inputs = [helper.make_tensor_value_info("a", Type.UINT8, [2, 3]), helper.make_tensor_value_info("b", Type.FLOAT, [2, 3])]
    outputs = [
        helper.make_tensor_value_info("whole", Type.INT64, [2, 3]),
        helper.make_tensor_value_info("sum", Type.FLOAT, [2, 3]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "two", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    path = tmp_path_factory.mktemp("models") / "two.onnx"
    onnx.save(model, path)
    return path


A = np.array([[1, 2, 255], [0, 7, 100]], np.uint8)
B = np.array([[0.5, -2.25, 1], [3, 0.125, -200]], np.float32)


def test_several_inputs_and_outputs_of_any_type(runner: Runner, two_by_two: Path) -> None:
    runner.feed({"b": B, "a": A})  # in another order than the model's
    found = runner.run("onnxruntime", two_by_two, runs=5, warmup_runs=3)
    assert (found["outputs"], len(found["samples_ms"]), found["warmup_runs"]) == (["whole", "sum"], 5, 3)
    assert found["runtime"] == {"name": "onnxruntime", "version": runner.built.runtimes["onnxruntime"]["version"]}
    assert found["peak_bytes"] > found["baseline_bytes"] > 0 and found["sustained"] is None
    whole = np.frombuffer((runner.folder / "out/0").read_bytes(), np.int64).reshape(2, 3)
    total = np.frombuffer((runner.folder / "out/1").read_bytes(), np.float32).reshape(2, 3)
    assert np.array_equal(total, A + B) and np.array_equal(whole, (A + B).astype(np.int64))
    assert list((runner.folder / "home").iterdir()) == []  # ONNX Runtime would have left a device id there


def test_several_inputs_and_outputs_in_litert(runner: Runner, tmp_path: Path) -> None:
    """Whose signature sorts them by name, unlike the graph."""
    import litert_torch
    import torch

    class Two(torch.nn.Module):
        def forward(self, zeta: torch.Tensor, alpha: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"second": zeta * 2 + 1, "first": alpha.sum(1)}

    with quiet():
        model = litert_torch.convert(Two().eval(), sample_kwargs={"zeta": torch.zeros(1, 3), "alpha": torch.zeros(1, 4, 5)})
        model.export(str(tmp_path / "two.tflite"))
    zeta, alpha = np.array([[1, 2, 3]], np.float32), np.arange(20, dtype=np.float32).reshape(1, 4, 5)
    runner.feed({"alpha": alpha, "zeta": zeta})
    names = runner.run("litert", tmp_path / "two.tflite")["outputs"]
    values = {name: np.frombuffer((tmp_path / "out" / str(i)).read_bytes(), np.float32) for i, name in enumerate(names)}
    assert np.array_equal(values["second"], 2 * zeta[0] + 1) and np.array_equal(values["first"], alpha.sum(1)[0])


def test_the_seconds_count_and_the_samples_are_limited(runner: Runner, two_by_two: Path) -> None:
    runner.feed({"a": A, "b": B})
    found = runner.run("onnxruntime", two_by_two, runs=1, seconds=0.3, warmup_runs=0, warmup_seconds=0.3)
    assert 1 < len(found["samples_ms"]) <= MOST_SAMPLES and found["warmup_runs"] > 1
    assert sum(found["samples_ms"]) > 250 or len(found["samples_ms"]) == MOST_SAMPLES
    found = runner.run("onnxruntime", two_by_two, runs=1, sustained_minutes=0.005)
    (minute,) = found["sustained"]["minutes"]
    assert minute["n"] > 1 and 0 < minute["p50_ms"] <= minute["p90_ms"] <= minute["p99_ms"]
    assert found["sustained"]["drop_percent"] == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"runtime": "tvm"}, "runtime=tvm is unknown"),
        ({"model": "/nowhere.onnx"}, "onnxruntime: .*nowhere.onnx"),
        ({"library": "/nowhere.so"}, "nowhere.so: cannot open shared object file"),
        ({"threads": "two"}, "threads=two is no number"),
        ({"runs": "nan"}, "runs=nan is no number"),
        ({"seconds": "-1"}, "seconds=-1 is no number"),
        ({"deadline": None}, "no deadline=... was given"),
        ({"outputs": "/nowhere"}, "cannot write /nowhere/0: No such file"),
        ({"inputs": "/nowhere"}, "the model has an input a, and nothing was given for it"),
        ({"cores": "1000"}, "cores 1000 cannot be used"),
    ],
)
def test_what_goes_wrong_is_one_line(runner: Runner, two_by_two: Path, settings: dict[str, Any], says: str) -> None:
    runner.feed({"a": A, "b": B})
    given = {"runtime": "onnxruntime", "model": two_by_two, **settings}
    code, out, err = runner.result(**given)
    (line,) = (line for line in err.splitlines() if line.startswith("runner: "))
    assert (code, out) == (1, "") and re.search(says, line), line


def test_an_input_of_another_size(runner: Runner, two_by_two: Path) -> None:
    runner.feed({"a": A, "b": B[:1]})
    code, _, err = runner.result("onnxruntime", two_by_two)
    assert code == 1 and "runner: input b takes 24 bytes, 12 were given" in err


def test_it_ends_at_its_deadline(runner: Runner, two_by_two: Path) -> None:
    runner.feed({"a": A, "b": B})
    code, out, _ = runner.result("onnxruntime", two_by_two, runs=10**8, deadline=1)
    assert (code, out) == (-signal.SIGALRM, "")


def test_it_ends_with_its_stdin(runner: Runner, two_by_two: Path) -> None:
    runner.feed({"a": A, "b": B})
    with runner.start("onnxruntime", two_by_two, runs=10**8) as process:
        time.sleep(0.5)
        assert process.stdin and process.poll() is None
        process.stdin.close()
        assert process.wait(20) == 3


def test_litert_takes_threads(runner: Runner) -> None:
    path = tiny.artifact("tflite", "fp32")
    runner.feed(golden_inputs(path))
    counts = {}
    for threads in (1, 3):
        with runner.start("litert", path, threads=threads, runs=10**8) as process:
            assert process.stdin
            assert until(lambda number=process.pid: len(list(Path(f"/proc/{number}/task").iterdir())) >= 2)
            time.sleep(1.5)
            counts[threads] = len(list(Path(f"/proc/{process.pid}/task").iterdir()))
            process.stdin.close()
    assert counts[3] == counts[1] + 2


def test_a_processor_of_old_phones(runner: Runner) -> None:
    """Cortex-A53. LiteRT's WebGPU accelerator would die there of an illegal instruction; it is not in the bundle."""
    runner.processor = "cortex-a53"
    path = tiny.artifact("tflite", "int8")
    runner.feed(golden_inputs(path))
    outputs = runner.run("litert", path)["outputs"]
    values = {name: (runner.folder / "out" / str(index)).read_bytes() for index, name in enumerate(outputs)}
    assert judge_outputs(path, values).passed


# --- the bundle -----------------------------------------------------------------------------------------------------------


def test_a_bundle_of_the_same_parts_is_not_built_again(built: native.Bundle) -> None:
    said: list[str] = []
    build.build(built.folder, said.append)
    assert said == [f"{built.folder} is up to date"]
    assert set(built.needed("litert")) == {native.RUNNER, *build.LIBRARIES, "libLiteRt.so"}
    assert set(built.needed("onnxruntime")) == {native.RUNNER, *build.LIBRARIES, "libonnxruntime.so"}


def test_what_building_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXRUNTIME_INCLUDE", str(tmp_path))
    with pytest.raises(RequestError, match=r"which holds no onnxruntime_c_api\.h"):
        build.include(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "find_spec", lambda _: None)
    with pytest.raises(RequestError, match="apt install g\\+\\+-aarch64-linux-gnu, or pip install ziglang"):
        build.compiler()
    with pytest.raises(ToolError, match="there is no apt-get here"):
        build.debian.download(["libonnxruntime-dev"], "arm64", tmp_path)


# --- on a phone -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emulated(built: native.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[phone.Phone]:
    reason = phone.reason_against()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("phone")
    with pytest.MonkeyPatch.context() as patch, phone.private_adb(folder), phone.emulated_phone(folder / "root") as found:
        patch.setenv(native.VARIABLE, str(built.folder))
        yield found


@pytest.fixture
def device(emulated: phone.Phone) -> Iterator[adb.Phone]:
    opened = open_device(f"adb:{emulated.serial}")
    assert isinstance(opened, adb.Phone)
    yield opened
    opened.close()


@pytest.mark.parametrize(("target", "precision"), ARTIFACTS)
def test_the_golden_pair_on_a_phone(device: adb.Phone, target: str, precision: str) -> None:
    path = tiny.artifact(target, precision)
    content = device.measure(Job(path, QUICK))
    found = document.validate({**content, "measured": document.now()}, "it")
    assert found.parity.passed, found.parity
    assert found.device.emulated and "emulated" in {each.name for each in found.warnings}
    assert (found.device.machine, found.device.cpu) == ("aarch64", "EMU-A76 (Cortex-A76)")
    assert (found.rows[0].summary.n, len(found.rows[0].states)) == (2, 2)
    assert found.rows[0].states[0].battery_percent == 87 and found.rows[0].states[0].temperature_c["skin-therm"] == 34.5
    assert (
        found.runtime.name == {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}[target] and found.runtime.version[0].isdigit()
    )


def test_a_whole_plan_pushes_nothing_the_second_time(device: adb.Phone, emulated: phone.Phone) -> None:
    said: list[str] = []
    plan = Plan(
        threads=(1, 2), runs=1, seconds=0, rounds=2, warmup_runs=0, warmup_seconds=0, cores=(0,), sustained_minutes=0.01
    )
    path = tiny.artifact("tflite", "int8")
    device.measure(Job(path, QUICK))
    content = device.measure(Job(path, plan, say=said.append))
    rows = document.validate({**content, "measured": document.now()}, "it").as_dict()["rows"]
    assert not [text for text in said if "pushing" in text]
    assert [(row["threads"], len(row["rounds"]), len(row["states"])) for row in rows] == [(1, 2, 3), (2, 2, 3)]
    assert all(row["sustained"]["minutes"][0]["n"] > 0 and row["cores"] == [0] for row in rows)
    left = sorted(each.name for each in (emulated.root / phone.TEMPORARY / "onenet").iterdir())
    assert not [name for name in left if name.endswith((".out", ".part"))]


def test_a_connection_that_breaks_leaves_nothing_running(device: adb.Phone, emulated: phone.Phone) -> None:
    path = tiny.artifact("tflite", "int8")
    plan = Plan(**{**QUICK.as_dict(), "runs": MOST_SAMPLES})
    seen: list[bool] = []

    def cut() -> None:
        seen.append(until(lambda: phone.processes_of(emulated.root, f"./{native.RUNNER}")))
        time.sleep(0.5)
        subprocess.run(["adb", "disconnect", emulated.serial], check=True, capture_output=True)

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(ToolError, match="went away while measuring"):
        device.measure(Job(path, plan))
    cutter.join()
    assert seen == [True] and until(lambda: not phone.processes_of(emulated.root, f"./{native.RUNNER}"))
    assert device.measure(Job(path, QUICK))["parity"]["passed"]


def test_set_up_examine_and_clean(device: adb.Phone, emulated: phone.Phone) -> None:
    said: list[str] = []
    device.set_up(said.append)
    assert said[0].endswith("is up to date")
    examination = device.examine()
    assert examination.healthy and examination.device.system == "Android 14 (API 34)"
    device.clean()
    assert list((emulated.root / phone.TEMPORARY).iterdir()) == []
    assert {each.what: each.good for each in device.examine().findings}["pushed"] is None
