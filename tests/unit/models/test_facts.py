"""What is said of a network: numbers, presets, names and colours as people write them; and what contradicts itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onenet.errors import RequestError
from onenet.exporters.options import FACT_NAMES, ExportOptions
from onenet.models.facts import NAMES, OPTIONS, Facts, read_beside

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def read(**given: object) -> Facts:
    return Facts.read(given, OPTIONS)


@pytest.mark.parametrize(
    ("given", "mean", "std"),
    [
        ({"mean": "imagenet"}, *IMAGENET),
        ({"std": "ImageNet"}, *IMAGENET),
        ({"mean": "imagenet", "std": "imagenet"}, *IMAGENET),
        ({"mean": "imagenet", "bgr": True}, IMAGENET[0][::-1], IMAGENET[1][::-1]),
        ({"mean": "0-255"}, (0.0,), (1 / 255,)),
        ({"mean": "0.5", "std": "0.25"}, (0.5,), (0.25,)),
        ({"mean": 0.5}, (0.5,), (1.0,)),
        ({"std": [0.1, 0.2, 0.5]}, (0.0,), (0.1, 0.2, 0.5)),
        ({"mean": "51,102,153", "std": "1"}, (0.2, 0.4, 0.6), (1 / 255,)),
        ({"mean": "0", "std": "255"}, (0.0,), (1.0,)),
    ],
)
def test_mean_and_std(given: dict[str, object], mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    facts = read(**given)
    assert facts.mean == pytest.approx(mean) and facts.std == pytest.approx(std)
    assert Facts.read(facts.as_dict(), "a manifest") == facts


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mean": "imagnet"}, "--mean takes imagenet or 0-255, or numbers with commas"),
        (
            {"mean": "imagenet", "std": "0.5"},
            "--mean imagenet and --std 0.5 contradict each other; a preset gives",
        ),
        ({"mean": "imagenet", "std": "0-255"}, "contradict each other"),
        ({"std": "0"}, "--std takes numbers above 0, found 0.0"),
        ({"mean": "300"}, "--mean takes numbers up to 255, found 300.0"),
        ({"mean": "nan"}, "--mean takes"),
        ({"mean": []}, "--mean takes"),
        ({"class_names": "a,,b"}, "--class-names takes different names with commas"),
        ({"class_names": "a,a"}, "--class-names takes different names"),
        ({"palette": "nothing.txt"}, "--palette: the file nothing.txt does not exist"),
        ({"palette": ["#12345"]}, "--palette takes colours"),
        ({"palette": ["0 0 256"]}, "--palette takes colours"),
        ({"ignore_index": -1}, "--ignore-index takes a whole number from 0"),
        ({"batch": 0}, "--batch takes a whole number from 1"),
        ({"threshold": 1.0}, "--threshold takes a probability between 0 and 1"),
        ({"input_name": "my image"}, "--input-name takes a name of letters, digits and _"),
        ({"input_size": [1, 2, 3]}, "--input-size takes a height and a width in pixels, or one number for both"),
        ({"bgr": "yes"}, "--bgr takes true or false"),
        ({"clas_names": "a,b"}, "'clas_names', which is no fact of a network; did you mean class_names?"),
    ],
)
def test_what_is_no_fact(given: dict[str, object], says: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(**given)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_and_colours_in_files(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("background\n\nroad, wet\n")
    (tmp_path / "names.json").write_text(json.dumps({"1": "road", "0": "background", "10": "car"}))
    (tmp_path / "list.json").write_text(json.dumps(["background", "road"]))
    (tmp_path / "colours.txt").write_text("#FF0000\n0 128 255\n1,2,3\n")

    def inside(**given: object) -> Facts:
        return Facts.read(given, "model.toml", tmp_path)

    assert inside(class_names="names.txt").class_names == ("background", "road, wet")
    assert inside(class_names="names.json").class_names == ("background", "road", "car")
    assert inside(class_names="list.json").class_names == ("background", "road")
    assert inside(class_names=" a, b ").class_names == ("a", "b")
    assert inside(palette="colours.txt").palette == ("#ff0000", "#0080ff", "#010203")
    assert inside(palette=[[1, 2, 3], "#0000ff"]).palette == ("#010203", "#0000ff")


def test_the_file_beside_a_network(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text('model = "net.py:make"\nweights = "a.ckpt"\nmean = "imagenet"\ninput-size = 64\nbgr = false\n')
    said = read_beside(path)
    assert said.model == f"{tmp_path / 'net.py'}:make"
    assert said.weights == tmp_path / "a.ckpt"
    assert said.facts == Facts(mean=IMAGENET[0], std=IMAGENET[1], input_size=(64, 64))
    path.write_text('model = "timm:resnet18"\n')
    assert read_beside(path).model == "timm:resnet18"
    path.write_text("model = 3\n")
    with pytest.raises(RequestError, match=r"model in model.toml takes a text, found 3"):
        read_beside(path)
    path.write_text('meen = "imagenet"\n')
    with pytest.raises(RequestError, match=r"model.toml has 'meen', which is no fact of a network; did you mean mean"):
        read_beside(path)
    path.write_text("threshold = 2\n")
    with pytest.raises(RequestError, match=r"threshold in model.toml takes a probability"):
        read_beside(path)


def test_two_places_that_differ_are_refused() -> None:
    one, other = Facts(batch=2, class_names=("a", "b")), Facts(batch=2, bgr=True, threshold=0.25)
    both = one.joined(other, OPTIONS, "model.toml")
    assert both == other.joined(one, "model.toml", OPTIONS) == Facts(batch=2, class_names=("a", "b"), bgr=True, threshold=0.25)
    with pytest.raises(RequestError, match=r"threshold is 0.5 by the options and 0.25 by model.toml; say it in one place"):
        Facts(threshold=0.5).joined(other, OPTIONS, "model.toml")
    assert not Facts() and Facts(batch=1)


def test_every_fact_is_an_option() -> None:
    assert {*FACT_NAMES, "input_size"} == set(NAMES)
    assert set(FACT_NAMES) <= set(ExportOptions.__dataclass_fields__)
    options = ExportOptions(mean="imagenet", class_names="a,b", ignore_index=255)
    assert Facts.read(options.facts, OPTIONS) == Facts(*IMAGENET, class_names=("a", "b"), ignore_index=255)
