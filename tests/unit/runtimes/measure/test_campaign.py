"""Campaigns: every cell once, finished ones kept, one device's failure no other's."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from onenet.base.process import Done
from onenet.cli.app import app
from onenet.errors import CheckError, RequestError
from onenet.exporters.results import FailedExport
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.measure import document, executors, matrix
from onenet.runtimes.measure.campaign import Campaign, Cell, Store, cells_of, names
from onenet.runtimes.measure.documents import FAILURE_SUFFIX, Failure
from tests.conftest import HEED_CTRL_C
from tests.null_artifact import write_null

PLAN = Plan(threads=(1,), runs=3, seconds=0.0, rounds=1, warmup_runs=0, warmup_seconds=0.0)
COMMAND = [sys.executable, "-c", HEED_CTRL_C + "from onenet.cli.app import main; main()", "bench"]
QUICK = ["--threads", "1", "--runs", "1", "--seconds", "0", "--rounds", "1"]


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write_null(tmp_path / "model.null")


def bench(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_a_cell_is_a_document_and_is_measured_once(artifact: Path, tmp_path: Path) -> None:
    said: list[str] = []
    store = Store(tmp_path / "out")
    for again, expected in ((False, "done"), (False, "finished before"), (True, "done")):
        campaign = Campaign([Cell(artifact, "null")], PLAN, store, again, lambda _, text: said.append(text))
        (result,) = campaign.run().values()
        assert isinstance(result, document.Measurement)
        assert said[-1] == expected
    (path,) = store.folder.iterdir()
    assert path.name == "model.null@null.measurement.json"
    assert document.read(path).to_json() == result.to_json() == path.read_text()


def test_a_result_that_cannot_be_kept_is_shown_and_the_other_cells_go_on(tmp_path: Path) -> None:
    first, second = write_null(tmp_path / "a.null"), write_null(tmp_path / "b.null")
    (tmp_path / "out" / "a.null@null.measurement.json").mkdir(parents=True)  # where the document would go
    found = bench(first, second, "--device", "null", "--out", tmp_path / "out", *QUICK)
    assert found.exit_code == 3
    said = " ".join(found.stdout.split())
    assert "a.null on null: this result cannot be kept as a document: writing under" in said
    assert found.stdout.count("✓") == 2  # both rows of the table
    assert document.read(tmp_path / "out" / "b.null@null.measurement.json").artifact.file == "b.null"


def test_long_names_have_documents(tmp_path: Path) -> None:
    paths = [write_null(tmp_path / f"{'a' * 240}{end}.null") for end in "bc"]
    assert bench(*paths, "--device", "null", "--out", tmp_path / "out", *QUICK).exit_code == 0
    assert len({path.name for path in (tmp_path / "out").iterdir()}) == 2


@pytest.mark.parametrize("change", ["bytes", "plan"])
def test_another_artifact_or_plan_is_another_cell(change: str, artifact: Path, tmp_path: Path) -> None:
    store, said = Store(tmp_path / "out"), list[str]()
    Campaign([Cell(artifact, "null")], PLAN, store).run()
    if change == "bytes":
        write_null(artifact, milliseconds=1)
    plan = PLAN if change == "bytes" else Plan(threads=(2,))
    Campaign([Cell(artifact, "null")], plan, store, watch=lambda _, text: said.append(text)).run()
    assert said[-1] == "done"


def test_what_lies_where_a_document_should_is_replaced(artifact: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = tmp_path / "model.null@null.measurement.json"
    path.write_text('{"schema": 1}')
    Campaign([Cell(artifact, "null")], PLAN, store).run()
    assert document.read(path).artifact.file == "model.null"


def test_a_device_that_fails_is_tried_again_recorded_and_no_other_devices_loss(artifact: Path, tmp_path: Path) -> None:
    said: list[str] = []
    cells = cells_of([artifact], ["null:unplugged\x20it", "null"], [])
    results = Campaign(cells, PLAN, Store(tmp_path), watch=lambda cell, text: said.append(f"{cell.device}: {text}")).run()
    failed, measured = results.values()
    assert isinstance(failed, Failure) and failed.text == "unplugged it" and failed.error == "ToolError"
    assert isinstance(measured, document.Measurement)
    assert [text for text in said if "unplugged" in text] == [
        "null:unplugged it: failed (1 of 2)",
        "null:unplugged it: failed (2 of 2)",
        "null:unplugged it: failed",
    ]
    assert (tmp_path / f"model.null@null_unplugged_it{FAILURE_SUFFIX}").is_file()


def test_a_cell_that_failed_once_and_succeeds_then_leaves_no_failure(artifact: Path, tmp_path: Path) -> None:
    store, cell = Store(tmp_path), Cell(artifact, "null")
    name = names([cell])[cell]
    failure = Failure(artifact="model.null", device="null", error="ToolError", text="gone")
    store.keep(name, failure)
    assert [path.name for path in tmp_path.glob("*@*")] == [name + FAILURE_SUFFIX]
    Campaign([cell], PLAN, store).run()
    assert [path.name for path in tmp_path.glob("*@*")] == [name + document.SUFFIX]


@pytest.mark.parametrize("name", ["a; rm -rf ~.null", "a\nb.null", "-rf.null", "ä/../x.null".replace("/", "_"), "<b>.null"])
def test_names_of_files_and_devices_become_plain(name: str, tmp_path: Path) -> None:
    artifact = write_null(tmp_path / name)
    Campaign([Cell(artifact, "null:$(reboot)\u202e".strip("\u202e"))], PLAN, Store(tmp_path / "out")).run()
    (path,) = (tmp_path / "out").iterdir()
    assert not set(path.name) & set(" ;\n<>$()~/")


def test_two_artifacts_of_one_name_have_two_documents(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
    cells = [Cell(write_null(tmp_path / "a/m.null"), "null"), Cell(write_null(tmp_path / "b/m.null", milliseconds=1), "null")]
    assert len(set(names(cells).values())) == 2
    assert len(Campaign(cells, PLAN, Store(tmp_path / "out")).run()) == 2
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_an_interpreter_is_asked_for_what_it_runs() -> None:
    cells = cells_of([Path("a.tflite"), Path("a.onnx")], ["local"], ["ai-edge-litert", "tflite-runtime"])
    assert [(cell.artifact.suffix, cell.runtime) for cell in cells] == [
        (".tflite", "ai-edge-litert"),
        (".tflite", "tflite-runtime"),
        (".onnx", None),
    ]


def test_a_killed_campaign_loses_no_finished_cell(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(12):
        write_null(tmp_path / "in" / f"model{i:02}.null", milliseconds=i)
    (tmp_path / "campaign.toml").write_text('artifacts = ["in/*.null"]\n')
    out = tmp_path / "out"
    command = [*COMMAND, "--matrix", str(tmp_path / "campaign.toml"), "--out", str(out), *QUICK]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: path.read_bytes() for path in out.glob("*.json")}
    assert 3 <= len(before) < 12
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = {path.name: path.read_bytes() for path in out.glob("*.json")}
    assert len(after) == 12
    assert {name: after[name] for name in before} == before
    assert done.stderr.count("finished before") == len(before)
    assert sorted(path.name for path in out.iterdir()) == sorted(after)


def test_an_interrupted_campaign_keeps_what_it_has_and_leaves_nothing_running(tmp_path: Path) -> None:
    write_null(tmp_path / "a.null")
    write_null(tmp_path / "b.null", milliseconds=1e9)  # hangs
    out = tmp_path / "out"
    command = [*COMMAND, str(tmp_path / "a.null"), str(tmp_path / "b.null"), "--out", str(out), *QUICK]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(out.glob("a.null*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2)  # into the run that hangs
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted: nothing half-written was left behind"
    assert [path.name for path in out.iterdir()] == ["a.null@local.measurement.json"]
    deadline = time.monotonic() + 20
    while orphans() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not orphans()


def orphans() -> list[str]:
    """Agents whose pack is gone, with the process that had made it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_text(errors="replace").split("\0")
            found += [word for word in words if word.endswith("onenet-agent.pyz") and not Path(word).exists()]
    return found


def test_a_wrong_golden_pair_is_exit_code_1_and_a_failed_device_3(tmp_path: Path) -> None:
    wrong = write_null(tmp_path / "wrong.null", right=False)
    done = bench(wrong, "--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 1
    assert "✗" in done.stdout
    assert "values of logits" in done.stdout
    right = write_null(tmp_path / "right.null")
    done = bench(right, "--device", "null:no such phone", "--device", "null", "--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 3
    assert "no such phone" in done.stdout


def test_json_is_one_document(tmp_path: Path) -> None:
    artifact = write_null(tmp_path / "a.null")
    done = bench(artifact, "--device", "null", "--out", tmp_path / "out", "--json", *QUICK)
    content = json.loads(done.stdout)
    assert document.validate(content["documents"][0], "stdout").artifact.file == "a.null"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give artifacts to measure, or a campaign with --matrix"),
        (("missing.tflite",), "does not exist"),
        (("--matrix", "missing.toml"), "cannot be read"),
        (("{artifact}", "--device", "fax:1"), "is of no known kind"),
        (("{artifact}", "--device", "ssh:"), "has an address that cannot be one"),
        (("{artifact}", "--device", "ssh:-oProxyCommand=x"), "has an address that cannot be one"),
        (("{artifact}", "--device", "ssh:a\nb"), "has an address that cannot be one"),
        (("{artifact}", "--runtime", "tensorrt"), "runtime 'tensorrt' is not known"),
        (("{artifact}", "--threads", "1,x"), "is no list of numbers"),
        (("{artifact}", "--threads", "0"), "makes no measurement"),
    ],
)
def test_a_wrong_request_is_one_line_and_measures_nothing(
    arguments: tuple[str, ...], says: str, artifact: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(*(each.format(artifact=artifact) for each in arguments), "--out", out)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr
    assert not list(out.glob("*")) if out.exists() else True


def test_a_core_ml_package_is_not_measured_where_its_speed_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mlpackage").mkdir()
    done = bench(tmp_path / "a.mlpackage")
    assert done.exit_code == 2
    assert "export TFLite or ONNX" in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names nothing to measure"),
        ("artifacts = [", "is not TOML"),
        ('artifact = ["x"]', "artifact: Extra inputs are not permitted"),
        ('[[export]]\nout = "x"', "'out' is no option of an export"),
        ("[[export]]\njson = true", "'json' is no option of an export"),
        ('[[export]]\ntargets = "onnx"', "'targets' is no option of an export; did you mean target"),
        ('[[export]]\nwidth = "8"', "width takes a whole number from 1, found '8'"),
        ("[[export]]\ninput-size = [32]", "input-size takes two whole numbers, found [32]"),
        ('[[export]]\n"--x; rm" = "x"', "is no option of an export"),
        ('artifacts = ["*.tflite"]', "matches no file"),
        ('artifacts = ["*.tflite"]\n[plan]\nruns = "many"', "plan.runs"),
        ("devices = []", "devices"),
        ("x = " + "[" * 5000, "is not TOML"),
    ],
)
def test_a_campaign_is_read_strictly(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        matrix.read(path).found()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_export_of_a_campaign_is_a_command_line() -> None:
    entry = {
        "model": "-x",
        "target": ["tflite", "onnx"],
        "input-size": [32, 48],
        "width": 8,
        "random-weights": True,
        "verify": False,
        "int8": False,
    }
    words = matrix.arguments(entry)
    assert words == [
        *("--model=-x", "--target=tflite", "--target=onnx", "--input-size", "32", "48"),
        *("--width", "8", "--random-weights", "--no-verify"),
    ]
    assert matrix.key_of(entry) == matrix.key_of(dict(reversed(entry.items())))
    assert matrix.key_of(entry) != matrix.key_of({**entry, "width": 9})


def test_an_export_that_fails_is_recorded_and_the_rest_is_measured(tmp_path: Path) -> None:
    write_null(tmp_path / "a.null")
    (tmp_path / "campaign.toml").write_text('artifacts = ["a.null"]\ndevices = ["null"]\n[[export]]\nmodel = "no-such-model"\n')
    done = bench("--matrix", tmp_path / "campaign.toml", "--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 3
    assert "no-such-model" in " ".join(done.stdout.split())
    assert len(list((tmp_path / "out").glob("a.null*"))) == 1


class HalfAnExport:
    """Stands for ``onenet export`` of two artifacts, of which one fails as long as it is ill."""

    def __init__(self, artifact: Path) -> None:
        self.artifact, self.ill, self.runs = artifact, True, 0

    def __call__(self, command: list[str], **_: Any) -> Done:
        self.runs += 1
        out = Path(command[command.index("--out") + 1])
        shutil.copy(self.artifact, out / "a.null")
        failed = FailedExport("tflite", "int8", CheckError("a.tflite failed its check of values: 3.0 dB")).as_dict()
        printed = [{"target": "null", "precision": "fp32"}, *([failed] if self.ill else [])]
        return Done(int(self.ill), json.dumps(printed).encode(), "")


def test_of_an_export_that_fails_in_part_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_null(tmp_path / "a.null")
    exports = HalfAnExport(tmp_path / "a.null")
    monkeypatch.setattr(executors, "converse", exports)
    monkeypatch.setattr("onenet.runtimes.measure.bench.measured_suffixes", lambda: (".null",))
    (tmp_path / "campaign.toml").write_text('devices = ["null"]\n[[export]]\ntarget = ["tflite"]\n')
    words = ("--matrix", tmp_path / "campaign.toml", "--out", tmp_path / "out", *QUICK)
    first = bench(*words)
    assert first.exit_code == 3
    said = " ".join(first.stdout.split())
    assert "--target=tflite (tflite int8)" in said.replace(" │ ", "")
    assert "on export: a.tflite failed its check of values: 3.0 dB" in said
    assert len(list((tmp_path / "out").glob("a.null*"))) == 1  # the other one is measured

    exports.ill = False  # what failed is tried again, and only then is the entry finished
    assert bench(*words).exit_code == 0
    assert bench(*words).exit_code == 0
    assert exports.runs == 2


def test_an_export_that_fails_whole_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Done(1, b"", "", "error: nothing could be exported")
    monkeypatch.setattr(executors, "converse", lambda *_, **__: failed)
    with pytest.raises(CheckError, match=r"^nothing could be exported$"):
        executors.export(executors.Export("key", (), "."))


def test_no_module_of_the_campaign_s_folder_is_imported(tmp_path: Path) -> None:
    (tmp_path / "onenet").mkdir()  # a checkout
    for name in ("json", "numpy", "typer"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)")
    with pytest.raises(RequestError, match="nothing"):
        executors.export(executors.Export("key", ("--target", "nothing"), str(tmp_path)))


def test_a_budget_that_is_not_held_is_exit_code_1(artifact: Path, tmp_path: Path) -> None:
    budget = tmp_path / "budget.toml"
    for limit, code in ((0.5, 1), (2.0, 0)):
        budget.write_text(f"[[budget]]\np50_ms = {limit}\n")
        done = bench(artifact, "--device", "null", "--budget", budget, "--out", tmp_path / "out", *QUICK)
        assert done.exit_code == code
        assert "p50_ms" in done.stdout
