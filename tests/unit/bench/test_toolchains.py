"""The comparison's own arithmetic, tables and processes. No toolchain runs here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import chart, peers, report, rows, summary
from bench.environments import environment_id, pip_reason, python_of
from bench.measure import Worker, measure, quality
from bench.networks import NETWORKS, Network, hash_of
from bench.rows import Conversion, Task
from bench.toolchains import add_runs, check_alike, merged
from bench.worker import reason_of
from onenet.errors import RequestError, ToolError

SLEEPER = """
import os
import time
from bench.peers import Loaded, Row

REQUIREMENTS = ()
ROWS = (Row("fast", "fast", "fp32", ours=True), Row("slow", "slow", "fp32"), Row("refuses", "refuses", "fp32"),
        Row("dies", "dies", "fp32"), Row("again", "again", "fp32", uses="sleeper/refuses", fallback=True),
        Row("spare", "spare", "fp32", uses="sleeper/fast", fallback=True))

def convert(network, row, out):
    print("a converter that talks on stdout")
    if row.key == "refuses":
        raise ValueError("cannot do it" + chr(10) + "second line")
    if row.key == "dies":
        os._exit(7)
    (out / "file.bin").write_bytes(bytes(100))
    return {"files": ["file.bin"]}

def load(out, row, threads):
    calls = []
    def run(image):
        calls.append(1)
        if row.key == "dies" and len(calls) > 1:
            os.kill(os.getpid(), 9)
        time.sleep({"fast": 0.002, "slow": 0.006}.get(row.key, 0.001))
        return image[:, :2] * 2
    return Loaded(run)
"""


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Task]:
    """The tasks of a peer that sleeps, on a network of 2 classes and 4x4 pixels, run in real processes."""
    network = Network("tiny", "four by four")
    folder = tmp_path / "base" / "networks" / "tiny"
    folder.mkdir(parents=True)
    image = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    np.savez(folder / "data.npz", image=image, logits=image[:, :2] * 2, calibration=image)
    package = tmp_path / "code" / "bench_peer_sleeper"
    package.mkdir(parents=True)
    (package / "sleeper.py").write_text(SLEEPER)
    # A peer is a module of bench.peers: extend that package's path here and, through sitecustomize, in the workers.
    extend = f"import bench.peers; bench.peers.__path__.append({str(package)!r})\n"
    (package / "sitecustomize.py").write_text(f"import sys; sys.path.insert(0, {str(rows.ROOT)!r})\n{extend}")
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.setattr(peers, "__path__", [*peers.__path__, str(package)])
    monkeypatch.setattr(peers, "NAMES", ("sleeper",))
    yield {task.row.key: task for task in rows.tasks(network, tmp_path / "base")}
    sys.modules.pop("bench.peers.sleeper", None)


def test_percentile_is_the_nearest_rank() -> None:
    assert summary.percentile([3, 1, 2], 0.9) == 3
    assert summary.percentile(range(1, 11), 0.9) == 9
    assert summary.percentile([5], 0.9) == 5


def test_timing_is_over_all_samples_of_all_rounds() -> None:
    found = summary.timing([[0.001, 0.003], [0.010]])
    assert (found.median, found.samples) == (pytest.approx(3.0), 3)
    assert found.p90 == pytest.approx(10.0)


def test_ratio_compares_rounds_with_their_own_round() -> None:
    # The machine was twice as slow in the second round: the ratio does not notice.
    found = summary.ratio([[0.2], [0.4]], [[0.1], [0.2]])
    assert (found.value, found.low, found.high) == (pytest.approx(2), pytest.approx(2), pytest.approx(2))
    uneven = summary.ratio([[0.2], [0.2]], [[0.1], [0.2]])
    assert (uneven.low, uneven.high) == (pytest.approx(1), pytest.approx(2))


def run_of(commit: str, **networks: float) -> dict[str, Any]:
    """A document of one run: names of networks, and seconds of their one row."""
    context = dict.fromkeys(("cpu", "flags", "cores", "python", "versions", "own_versions"), "same") | {"commit": commit}
    found = [{"name": name, "rows": [{"seconds": [[value]]}]} for name, value in networks.items()]
    return {"began": f"with {commit}", "context": context, "load": {"before": [0.1]}, "threads": [1], "networks": found}


def test_an_update_keeps_the_other_networks_and_says_when_each_was_measured() -> None:
    earlier, later = run_of("old", **{"ed4-w64": 1.0, "onenet-e4": 2.0}), run_of("new", **{"onenet-e4": 1.5})
    check_alike(earlier, later)
    add_runs(later)
    found = merged(earlier, later)["networks"]
    assert [(each["name"], each["run"]["commit"]) for each in found] == [("ed4-w64", "old"), ("onenet-e4", "new")]
    assert found[1]["rows"][0]["seconds"] == [[1.5]]
    assert "Measured from with old on, commit old" in report.run_text(found[0]["run"])


@pytest.mark.parametrize("key", ["cpu", "versions", "threads"])
def test_an_update_of_something_else_is_refused(key: str) -> None:
    earlier, later = run_of("old", net=1.0), run_of("new", net=1.0)
    (later if key == "threads" else later["context"])[key] = ["other"]
    with pytest.raises(RequestError, match=r"--update (keeps what was measured with the same|needs the same threads)"):
        check_alike(earlier, later)


def test_environments_differ_by_what_they_hold() -> None:
    assert environment_id("a", ["x==1"]) == environment_id("a", ["x==1"])
    assert environment_id("a", ["x==1"]) != environment_id("a", ["x==2"])
    assert environment_id("a", ["x==1"]).startswith("a-")


def test_an_environment_without_requirements_is_this_one(tmp_path: Path) -> None:
    assert python_of("a", (), tmp_path) == Path(sys.executable)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_installation_is_remembered(tmp_path: Path) -> None:
    (tmp_path / (environment_id("a", ["x==1"]) + ".failed")).write_text("does not install: no such thing")
    with pytest.raises(ToolError, match="no such thing"):
        python_of("a", ["x==1"], tmp_path)


def test_pip_reason_prefers_the_error_line() -> None:
    assert pip_reason("WARNING: w\nERROR: No matching distribution\nnotice\n") == "No matching distribution"
    assert pip_reason("") == "pip failed"


def test_hashes_ignore_comments_and_see_code(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    hashes = []
    for text in ("x = 1\n", "x = 1  # why\n", "x = 2\n"):
        file.write_text(text)
        hashes.append(hash_of(file))
    assert hashes[0] == hashes[1] != hashes[2]


def test_reason_is_one_line_with_the_type() -> None:
    assert reason_of(ValueError("\n first\nsecond")) == "ValueError: first"
    assert reason_of(MemoryError()) == "MemoryError"


def test_every_peer_has_unique_rows_and_uses_existing_ones() -> None:
    every = rows.tasks(NETWORKS["ed4-w64"], Path("nowhere"))
    names = [task.name for task in every]
    assert len(set(names)) == len(names) and {task.peer for task in every} == set(peers.NAMES)
    for task in every:
        assert task.row.precision in summary_precisions()
        if task.row.uses:
            assert names.index(task.row.uses) < names.index(task.name)
            assert task.folder == rows.owner_of(task).folder


def summary_precisions() -> set[str]:
    return {precision for _, precision in chart.COLOURS}


def test_quality_of_a_wrong_shape_is_a_note() -> None:
    expected = np.ones((1, 2, 4, 4), np.float32)
    assert quality(expected, expected)["label_agreement"] == 1.0
    assert "shape" in quality(expected, expected[:, :1])["note"]


def test_conversion_is_cached_with_its_reason(sleeper: dict[str, Task]) -> None:
    done = rows.convert(sleeper["fast"])
    assert (done.reason, done.bytes) == ("", 100)
    before = (sleeper["fast"].folder / rows.STAMP).stat().st_mtime_ns
    assert rows.convert(sleeper["fast"]) == done
    assert (sleeper["fast"].folder / rows.STAMP).stat().st_mtime_ns == before
    assert rows.convert(sleeper["refuses"]).reason == "ValueError: cannot do it"
    assert rows.convert(sleeper["dies"]).reason.startswith("exit status 7")
    assert rows.convert(sleeper["again"]).reason == "ValueError: cannot do it"


def test_rows_are_measured_in_turn_and_failures_are_rows(sleeper: dict[str, Task], tmp_path: Path) -> None:
    conversions = [(task, Conversion("", 0.0)) for task in sleeper.values()]
    conversions[2] = (sleeper["refuses"], Conversion("", 0.0, reason="ValueError: cannot do it"))
    asked: list[str] = []
    found = {r["row"]: r for r in measure(conversions, 1, 3, 0.0, tmp_path, asked.append)}
    assert [len(each) for each in found["sleeper/slow"]["seconds"]] == [1, 1, 1]
    assert found["sleeper/slow"]["sqnr_db"] == 199.0 and found["sleeper/slow"]["peak_bytes"] > 1e6
    assert found["sleeper/refuses"]["reason"] == "conversion: ValueError: cannot do it"
    assert "SIGKILL" in found["sleeper/dies"]["reason"]
    assert "sleeper/spare" not in found  # what it stands in for works
    turns = [text.split(",")[0] for text in asked if "round" in text]
    assert turns[:3] != turns[3:6] or turns[3:6] != turns[6:9]


def test_a_worker_keeps_running_until_closed(sleeper: dict[str, Task], tmp_path: Path) -> None:
    worker = Worker(sleeper["fast"], 1, tmp_path / "out.npy")
    assert len(worker.run(0.05)) > 2
    worker.close()
    assert worker.process.returncode == 0


def row(name: str, precision: str, seconds: list[list[float]], *, ours: bool = False, **more: object) -> dict[str, object]:
    base = {"row": name, "label": name, "precision": precision, "ours": ours, "threads": 1, "seconds": seconds, "reason": ""}
    base |= {"bytes": 10**6, "peak_bytes": 10**8, "operations": 0, "conversion": {}, "sqnr_db": 100.0, "label_agreement": 1.0}
    return base | more


def network_with(*found: dict[str, object]) -> dict[str, object]:
    return {"name": "n", "summary": "a network", "parameters": 10**6, "operations": 10**9, "rows": list(found)}


def test_table_has_ratios_limits_and_reasons() -> None:
    network = network_with(
        row("ours", "fp32", [[0.010], [0.010]], ours=True),
        row("theirs", "fp32", [[0.020], [0.020]], sqnr_db=9.0),
        row("gemm", "fp32", [[0.010]], operations=2 * 10**9),
        row("broken", "int8", [], reason="conversion: no | such thing"),
    )
    text = report.network_text(network, [1])
    assert "| **ours** | fp32 | 10.0 (10.0) | 1.00 | 50% | 100.0 dB | 100.00% | 1.00 | 100 |" in text
    assert "| theirs | fp32 | 20.0 (20.0) | 2.00 | 25% | 9.0 dB, wrong |" in text
    assert "* broken, int8: conversion: no / such thing" in text
    assert "| gemm" not in text


def test_chart_is_800_pixels_wide(tmp_path: Path) -> None:
    network = network_with(row("ours", "fp32", [[0.010]], ours=True), row("slow", "int8", [[9.0]]), row("x", "int8", [[0.02]]))
    chart.draw(network, 1, tmp_path / "a.png")
    from PIL import Image

    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] == 800


@pytest.mark.parametrize(
    ("before", "during", "says"),
    [
        (0.3, [], None),
        (1.4, [], "busy"),
        (1.4, [[2.6], [1.9]], "busy"),
        (1.4, [[2.6], [1.1]], "fell to 1.1"),
    ],
)
def test_what_the_load_says(before: float, during: list[list[float]], says: str | None) -> None:
    lines = report.busy_lines({"before": [before], "during": during}, cores=2)
    assert says in " ".join(lines) if says else lines == []
