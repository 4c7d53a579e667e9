"""``onenet models``: the list, and one model shown."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from onenet.cli.app import app
from onenet.models import REGISTRY


def test_the_list() -> None:
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in REGISTRY)


def test_one_model() -> None:
    result = CliRunner().invoke(app, ["models", "show", "onenet-ed4"])
    assert result.exit_code == 0, result.output
    assert "task    segmentation" in result.stdout
    document = json.loads(CliRunner().invoke(app, ["models", "show", "onenet-ed4", "--json"]).stdout)
    assert (document["task"], document["lowering"]) == ("segmentation", None)
