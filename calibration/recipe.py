"""What is stored how: an ordered list of rules on operators and names, kept in the manifest. Plain data; loads no torch.

    {"name": "float head",
     "rules": [{"operator": "conv2d", "name": "conv2d_2[4-6]", "precision": "float"},
               {"precision": "int8"}]}

The first rule that fits a layer decides. Layers are the convolutions and linear layers of the lowered network, by the names
that ``onenet verify --layers`` lists.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from onenet.base.data import read_json
from onenet.calibration.estimators import AUTO, ESTIMATOR_NAMES
from onenet.errors import RequestError

PRECISIONS = ("int8", "w8", "float")
"""Of a layer: int8 weights and activations; int8 weights in float arithmetic; float."""
X86_SAFE_LIMIT = 63
"""Largest weight whose pairs of products, with 8-bit unsigned activations, fit the 16-bit sums of x86 CPUs without VNNI:
2 x 255 x 63 = 32130 <= 32767."""


@dataclass(frozen=True)
class Rule:
    """Layers whose ATen operator (``conv2d``) and name (``conv2d_7``) match both patterns get ``precision``."""

    precision: str
    operator: str = "*"
    name: str = "*"

    def fits(self, operator: str, name: str) -> bool:
        """Whether a layer's operator and name match both patterns."""
        return fnmatchcase(operator, self.operator) and fnmatchcase(name, self.name)


@dataclass(frozen=True)
class Recipe:
    """How a network is quantized."""

    name: str
    rules: tuple[Rule, ...]
    estimator: str = AUTO
    """From the values seen to the range of an activation; one of ``ESTIMATOR_NAMES``. A record's is never ``AUTO``."""
    bias_correction: bool = True
    """Take the mean error that rounding leaves in each channel out of the biases, where that helps."""
    weight_limit: int = 127
    """Largest absolute int8 weight; 63 for x86 CPUs without VNNI."""

    def precision_of(self, operator: str, name: str) -> str:
        """A layer's precision; float where no rule fits."""
        return next((rule.precision for rule in self.rules if rule.fits(operator, name)), "float")

    @property
    def calibrated(self) -> bool:
        """Whether some activation needs a range, and so images."""
        return any(rule.precision == "int8" for rule in self.rules)

    def as_dict(self) -> dict[str, object]:
        """As a recipe's file and a manifest hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Recipe:
        """Check and read a recipe.

        Raises:
            RequestError: an unknown key, precision or estimator; says which.
        """
        known = cls.__dataclass_fields__
        if not isinstance(data, dict) or not isinstance(data.get("rules"), (list, tuple)) or not data["rules"]:
            raise RequestError('a recipe is an object with "rules": [{"precision": "int8"}, ...]')
        refuse_unknown("a recipe", data, known)
        rules = tuple(rule_from(each) for each in data["rules"])
        recipe = cls(**{"name": "custom", **data, "rules": rules})
        if not isinstance(recipe.name, str) or not isinstance(recipe.bias_correction, bool):
            raise RequestError("a recipe's name is a text and its bias_correction true or false")
        if recipe.estimator not in ESTIMATOR_NAMES:
            found = reprlib.repr(recipe.estimator)
            raise RequestError(f"estimator {found} is not known; supported: {', '.join(ESTIMATOR_NAMES)}")
        if type(recipe.weight_limit) is not int or not 1 <= recipe.weight_limit <= 127:
            raise RequestError(f"a recipe's weight_limit is {reprlib.repr(recipe.weight_limit)}; expected 1 to 127")
        return recipe

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe from a JSON file.

        Raises:
            RequestError: the file cannot be read or is no recipe.
        """
        content = read_json(path, "recipe")
        try:
            return cls.from_dict(content)
        except RequestError as error:
            raise RequestError(f"{path}: {error}") from error


def rule_from(data: Any) -> Rule:
    """A rule from parsed JSON. Raises RequestError where it is not one."""
    if not isinstance(data, dict) or data.get("precision") not in PRECISIONS:
        found = data.get("precision") if isinstance(data, dict) else data
        raise RequestError(f"a rule has the precision {reprlib.repr(found)}; supported: {', '.join(PRECISIONS)}")
    refuse_unknown("a rule", data, Rule.__dataclass_fields__)
    if not all(isinstance(value, str) for value in data.values()):
        raise RequestError("a rule's operator and name are texts, such as conv2d and conv2d_1*")
    return Rule(**data)


def refuse_unknown(what: str, data: Mapping[str, object], known: Iterable[str]) -> None:
    """Refuse keys that nothing reads, with a RequestError that lists the known ones."""
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise RequestError(f"{what} has no {', '.join(map(reprlib.repr, unknown[:3]))}; it has {', '.join(known)}")


INT8 = Recipe("int8", (Rule("int8"),))
W8 = Recipe("w8", (Rule("w8"),), "mse", bias_correction=False)
RECIPES = {recipe.name: recipe for recipe in (INT8, W8)}
"""The recipes that ``--precision`` names; fp32 and fp16 quantize nothing."""


def x86_safe(recipe: Recipe) -> Recipe:
    """The same with weights that do not saturate on x86 CPUs without VNNI."""
    return replace(recipe, name=f"{recipe.name}, x86-safe", weight_limit=X86_SAFE_LIMIT)
