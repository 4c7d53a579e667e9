"""A campaign whose exports run on a Ray cluster of two nodes gives what one on this machine gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from onenet.cli.app import app
from onenet.runtimes.measure.documents import load

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before ray is imported: it reports its use otherwise
ray = pytest.importorskip("ray", reason="ray is not installed here")

CAMPAIGN = """
devices = ["null"]
[[export]]
model = "onenet-ed4"
target = "onnx"
width = 4
random-weights = true
input-size = [32, 32]
[[export]]
model = "onenet-ed5"
[plan]
runs = 2
"""


@pytest.fixture
def cluster() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=small)
    try:
        made.add_node(num_cpus=1, object_store_memory=80_000_000)
        made.wait_for_nodes()
        yield made.address
    finally:
        ray.shutdown()
        made.shutdown()


def run(folder: Path, executor: str) -> list[dict[str, Any]]:
    """The campaign's documents without the time at which they were made."""
    (folder / "campaign.toml").write_text(CAMPAIGN)
    out = folder / executor.partition(":")[0]
    words = ["bench", "--matrix", str(folder / "campaign.toml"), "--executor", executor, "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3, done.output  # the export that fails
    assert "no trained weights are shipped for onenet-ed5" in " ".join(done.stdout.split())
    found = load([out]).measurements
    return [
        {k: v for k, v in each.as_dict().items() if k != "measured"}
        for each in sorted(found, key=lambda each: each.artifact.file)
    ]


# Ray leaves sockets open, and forks, which JAX objects to where a converter in another test of this process has imported it.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore:os.fork:RuntimeWarning")
def test_a_cluster_of_two_nodes_gives_the_same_documents(cluster: str, tmp_path: Path) -> None:
    alone = run(tmp_path, "local")
    spread = run(tmp_path, f"ray://{cluster}")
    assert [each["artifact"]["file"] for each in alone] == ["onenet-ed4_fp32.onnx"]
    assert spread == alone
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2


@pytest.mark.parametrize(
    ("executor", "code", "says"),
    [
        ("fog", 2, "executor 'fog' is not known; supported: local, ray, ray://HOST:PORT"),
        ("ray://nobody", 2, "ray://nobody is not HOST:PORT"),
        ("ray://127.0.0.1:1", 3, "no Ray cluster at 127.0.0.1:1"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(executor: str, code: int, says: str, tmp_path: Path) -> None:
    (tmp_path / "campaign.toml").write_text(CAMPAIGN)
    words = ["bench", "--matrix", str(tmp_path / "campaign.toml"), "--executor", executor, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
