"""The contract: what every task must keep, what it refuses, and that a task is found by its file being there."""

from __future__ import annotations

from pathlib import Path

import pytest

import onenet.tasks
from onenet.errors import RequestError
from onenet.runtimes.measure import budget
from onenet.runtimes.report import summary
from onenet.tasks import TASKS, Task, headlines, metrics, output_roles, recognize, task_of


def test_what_there_is() -> None:
    assert list(TASKS.cards()) == ["segmentation", "classification", "denoiser", "other"]
    assert output_roles() == ("logits", "probabilities", "labels")
    assert headlines() == ("miou", "top1")
    assert list(metrics()) == ["miou", "top1", "sqnr_db", "dice", "map50", "top5", "top5_agreement", "label_agreement"]


@pytest.mark.parametrize("task", TASKS.cards().values(), ids=list(TASKS.cards()))
def test_every_task_keeps_the_contract(task: Task) -> None:
    assert task.name and task.title
    assert sum(metric.headline for metric in task.metrics) == bool(task.metrics)  # a budget measures one figure
    assert bool(task.suffix) == bool(task.file_key) == bool(task.run_help)
    if task.metrics:
        assert task.labelled_form and task.output_roles
    own = [metric.name for each in TASKS.cards().values() for metric in each.metrics]
    assert len(own) == len(set(own)), "two tasks have a metric of one name"


@pytest.mark.parametrize(
    ("outputs", "name"),
    [
        ([((1, 3, 8, 8), "float32")], "segmentation"),
        ([((1, 10), "float32")], "classification"),
        ([((4, 10), "float16")], "classification"),
        ([((1, 1), "float32")], "other"),  # one number is a measurement, no choice of classes
        ([((1, 10), "int64")], "other"),
        ([((1, 10, 7), "float32")], "other"),
        ([((1, 10), "float32"), ((1, 3, 8, 8), "float32")], "other"),
    ],
)
def test_tasks_are_told_by_their_outputs(outputs: list[tuple[tuple[int, ...], str]], name: str) -> None:
    task, specs = recognize(outputs)
    assert task.name == name
    assert [(spec.shape, spec.dtype) for spec in specs] == outputs
    assert {spec.role for spec in specs} == ({"scores"} if name == "other" else {"logits"})


@pytest.mark.parametrize("name", [None, "", "poetry", 3, ["segmentation"]])
def test_a_name_of_no_task_is_other(name: object) -> None:
    assert task_of(name) is TASKS.get("other", "task")


TOY = """
from onenet.tasks import Metric, Task

class Counting(Task):
    name = title = "counting"
    order = 15
    output_roles = ("scores",)
    metrics = (Metric("count_error", "count error", digits=1, higher_is_better=False, headline=True),)

TASK = Counting()
"""


def test_a_task_is_found_by_its_file_being_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In reports and budgets, where lower is better, without a change in the product."""
    (tmp_path / "counting.py").write_text(TOY)
    monkeypatch.setattr(onenet.tasks, "__path__", [*onenet.tasks.__path__, str(tmp_path)])
    assert list(TASKS.cards()) == ["segmentation", "counting", "classification", "denoiser", "other"]
    assert headlines() == ("miou", "count_error", "top1")
    assert summary.metrics()["count_error"].title == "count error"
    (tmp_path / "budget.toml").write_text("[[budget]]\ncount_error = 2.5\n")
    (entry,) = budget.read(tmp_path / "budget.toml").budget
    assert entry.limits() == {"count_error": 2.5}
    monkeypatch.undo()
    with pytest.raises(RequestError, match="count_error is not known"):
        budget.read(tmp_path / "budget.toml")
