"""What ``build`` asks of a system: a small one of this file builds, and keeps nothing else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType

import pytest
from torch import Tensor, nn

from onenet.models import ModelCard
from onenet.models.build import build_registered
from onenet.models.system import System


@dataclass(frozen=True)
class Shape:
    classes: int
    channels_in: int = 3
    divisor: int = 4

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Heads(System[Shape]):
    """A classifier: pooling and a linear layer."""

    def configure(
        self,
        named: Mapping[str, object],
        published: Mapping[str, object] | None,
        state: Mapping[str, Tensor] | None,
        asked: Mapping[str, object],
    ) -> Shape:
        del published, state
        return Shape(int(str(asked.get("classes") or named["classes"])))

    def create(self, config: Shape) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, config.classes))

    def name_of(self, config: Shape) -> str:
        return f"heads-{config.classes}"


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    module = ModuleType("heads")
    module.SYSTEM = Heads()  # type: ignore[attr-defined]  # what a builder module holds
    monkeypatch.setitem(sys.modules, "heads", module)
    return ModelCard("heads", "a toy", "heads", {"classes": 6}, paper="none")


@pytest.mark.parametrize(("asked", "classes"), [({}, 6), ({"classes": 9}, 9)])
def test_a_system_builds_its_entries(entry: ModelCard, asked: dict[str, object], classes: int) -> None:
    model = build_registered(entry, None, asked, None, True, (8, 12))
    assert (model.spec.name, model.spec.task) == ("heads", "classification")
    assert model.spec.outputs[0].shape == (1, classes) and len(model.spec.classes) == classes
    assert model.spec.source["config"] == {"classes": classes, "channels_in": 3, "divisor": 4}
    assert (model.spec.source["paper"], model.spec.source["weights"]) == ("none", "random")


def test_the_contract_alone_builds_nothing() -> None:
    contract: System[Shape] = System()
    for call in (
        lambda: contract.configure({}, None, None, {}),
        lambda: contract.create(Shape(2)),
        lambda: contract.name_of(Shape(2)),
    ):
        with pytest.raises(NotImplementedError):
            call()
