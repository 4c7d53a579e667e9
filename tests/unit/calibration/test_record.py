"""Calibration records: they replace the images, survive a file, and refuse to be anything else."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import onenet
from onenet.base.data import LONGEST_JSON
from onenet.calibration.decide import quantize_weights
from onenet.calibration.inputs import sha256
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8, Recipe, Rule, x86_safe
from onenet.calibration.record import FEW, SCHEMA, UNSTABLE_DB, CalibrationRecord, decoded, encoded, identified
from onenet.calibration.samples import Sample
from onenet.errors import RequestError
from onenet.model import Model
from onenet.models.build import build

# Noise: one half of such images is like the other.
IMAGES = np.random.default_rng(0).uniform(0, 1, (40, 3, 24, 24)).astype(np.float32)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 1))


@functools.cache
def lowered(seed: int = 0, size: tuple[int, int] = (24, 24)) -> Model:
    return onenet.lower(build(network(seed), input_size=size))


@functools.cache
def quantized() -> QuantizedModel:
    model = onenet.calibrate(lowered(), list(IMAGES))
    # What every test below relies on: it has all that a record can hold.
    assert model.record.sites
    assert model.record.biases
    assert model.record.worst_site is not None
    return model


@functools.cache
def content() -> str:
    return json.dumps(quantized().record.as_dict())


def written(folder: Path, data: Any) -> Path:
    path = folder / "record.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def refused(path: Path) -> str:
    with pytest.raises(RequestError) as caught:
        CalibrationRecord.load(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    assert len(text) < 400 + len(str(path))
    return text


# --- what it keeps ----------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    [INT8, x86_safe(INT8), replace(INT8, estimator="entropy"), Recipe("mixed", (Rule("float", name="conv2d_1"), Rule("int8")))],
    ids=lambda recipe: f"{recipe.name}, {recipe.estimator}",
)
def test_a_record_survives_its_file(recipe: Recipe, tmp_path: Path) -> None:
    record = onenet.calibrate(lowered(), list(IMAGES[:4]), recipe=recipe).record
    record.save(tmp_path / "new" / "first.json")
    loaded = CalibrationRecord.load(tmp_path / "new" / "first.json")
    assert loaded == record
    assert hash(loaded.id) == hash(record.id)
    loaded.save(tmp_path / "second.json")
    assert (tmp_path / "second.json").read_bytes() == (tmp_path / "new" / "first.json").read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new", "second.json"]


def test_a_record_replaces_the_images(tmp_path: Path) -> None:
    quantized().record.save(tmp_path / "record.json")
    again = onenet.calibrate(lowered(), CalibrationRecord.load(tmp_path / "record.json"))
    assert again.record == quantized().record
    assert again.outputs == quantized().outputs
    for one, two in ((again.reference, quantized().reference), (again.open_form, quantized().open_form)):
        tensors, others = (dict(each.named_buffers()) | dict(each.named_parameters()) for each in (one, two))
        assert tensors.keys() == others.keys()
        assert all(torch.equal(tensors[name], others[name]) for name in tensors)
        assert str(one.graph) == str(two.graph)


def test_a_record_brings_its_recipe() -> None:
    record = onenet.calibrate(lowered(), list(IMAGES[:4]), recipe=x86_safe(INT8)).record
    again = onenet.calibrate(lowered(), record, recipe=INT8)
    assert again.record.recipe == record.recipe == replace(x86_safe(INT8), estimator=record.recipe.estimator)
    weights = [each for each in again.reference.buffers() if each.dtype == torch.int8 and each.dim() == 4]
    assert max(int(each.abs().max()) for each in weights) == 63


def test_what_a_record_says() -> None:
    record = quantized().record
    assert record.seed is None
    assert (record.samples, len(record.sample_ids)) == (40, 40)
    assert record.sample_ids == tuple(sorted(sha256(each.tobytes()) for each in IMAGES))
    assert record.model.name == lowered().spec.name
    assert record.model.inputs == {"image": (1, 3, 24, 24)}
    assert len(record.model.weights_sha256 or "") == 64
    names = [name for site in record.sites.values() for name in site.names]
    assert len(names) == len(set(names))
    for first, site in record.sites.items():
        assert first == site.names[0]
        assert site.scale == pytest.approx((site.high - site.low) / 255, rel=1e-5)
    image = next(iter(record.sites.values()))
    assert image.seen.values == IMAGES.size
    assert image.seen.quantiles["1"] == pytest.approx(float(IMAGES.max()), rel=1e-5)


def test_the_id_is_that_of_the_content() -> None:
    record = quantized().record
    assert identified(record) == identified(replace(record, id="")) == record
    assert identified(replace(record, samples=41)).id != record.id


def test_biases_survive_their_text() -> None:
    values = np.array([0.1, -1e-30, 0, 3e38], np.float32)
    assert np.array_equal(decoded(encoded(values)), values)
    record = quantized().record
    assert {layer: len(decoded(text)) for layer, text in record.biases.items()} == {"conv2d": 6, "conv2d_1": 4}
    assert record.bias("relu") is None


def test_reading_a_record_needs_no_torch(tmp_path: Path) -> None:
    quantized().record.save(tmp_path / "record.json")
    program = (
        "import sys; from pathlib import Path; from onenet.calibration.record import CalibrationRecord\n"
        "print(CalibrationRecord.load(Path(sys.argv[1])).id, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program, str(tmp_path / "record.json")], capture_output=True, text=True)
    assert (found.stdout.split(), found.stderr) == ([quantized().record.id, "False"], "")


# --- what it warns of -------------------------------------------------------


def in_half(half: int, count: int) -> list[str]:
    """Ids of samples that are counted in this half."""
    names = (f"sample {i}" for i in range(100 * count))
    return [name for name in names if int(sha256(name.encode()), 16) % 2 == half][:count]


def samples(ids: list[str], images: np.ndarray) -> list[Sample]:
    return [Sample({"": image}, name, name) for name, image in zip(ids, images, strict=True)]


def test_no_warning_without_a_reason() -> None:
    assert FEW <= 40
    assert quantized().record.warnings() == []
    disagreement = quantized().record.worst_site
    assert disagreement is not None
    assert 0 <= disagreement[1] <= UNSTABLE_DB


def test_few_samples() -> None:
    record = onenet.calibrate(lowered(), list(IMAGES[: FEW - 1])).record
    assert record.warnings()[0] == "calibrated on 31 images; 32 or more give steadier scales"
    assert not [line for line in quantized().record.warnings() if "steadier" in line]


def test_halves_that_disagree() -> None:
    dark, bright = IMAGES[:20] * np.float32(0.02), IMAGES[20:]
    sorted_out = samples(in_half(0, 20) + in_half(1, 20), np.concatenate([dark, bright]))
    record = onenet.calibrate(lowered(), sorted_out).record
    (warning,) = record.warnings()
    worst = record.worst_site
    assert worst is not None
    assert worst[1] == max(site.disagreement_db for site in record.sites.values() if site.disagreement_db is not None) > 20
    assert warning.startswith(
        f"two halves of the calibration images disagree: the range of {worst[0]} from one costs the other"
    )
    alike = samples(in_half(0, 20) + in_half(1, 20), np.concatenate([dark[:10], bright[:10]] * 2))
    record = onenet.calibrate(lowered(), alike).record
    assert record.warnings() == []
    assert {site.disagreement_db for site in record.sites.values()} == {0}


def test_one_half_alone_says_nothing() -> None:
    record = onenet.calibrate(lowered(), samples(in_half(1, 3), IMAGES[:3])).record
    assert {site.disagreement_db for site in record.sites.values()} == {None}
    assert record.worst_site is None
    assert len(record.warnings()) == 1


def test_int8_weights_alone_need_no_warning() -> None:
    record = quantize_weights(lowered()).record
    assert (record.samples, record.sample_ids, record.sites, record.biases, record.warnings()) == (0, (), {}, {}, [])


# --- what is no record ------------------------------------------------------


def leaves(data: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    return [way] if inner is None else [each for key, value in inner for each in leaves(value, (*way, key))]


def changed(way: tuple[Any, ...], change: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(content())
    inner: Any = data
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = change(inner[way[-1]])
    return data


def another(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    return value + ("x" if isinstance(value, str) else 1)


def test_every_single_value_is_guarded(tmp_path: Path) -> None:
    ways = leaves(json.loads(content()))
    assert len(ways) > 100
    for way in ways:
        refused(written(tmp_path, changed(way, another)))
        refused(written(tmp_path, changed(way, lambda _: [])))


def test_a_changed_range_is_told_by_the_id(tmp_path: Path) -> None:
    name = next(iter(quantized().record.sites))
    text = refused(written(tmp_path, changed(("sites", name, "high"), lambda high: high / 2)))
    assert f"it says {quantized().record.id}; it was changed since it was written" in text


def test_nothing_can_be_added_or_left_out(tmp_path: Path) -> None:
    for key in json.loads(content()):
        data = json.loads(content())
        del data[key]
        refused(written(tmp_path, data))
    assert "changed since it was written" in refused(written(tmp_path, {**json.loads(content()), "note": "mine"}))


@pytest.mark.parametrize(
    "key", ["model", "recipe", "samples", "sample_ids", "preprocessing", "sites", "biases", "id", "schema"]
)
@pytest.mark.parametrize("value", [None, True, -1, 1e308, 10**400, "x", [], [[]], {}, {"a": {}}, [None], {"a": [1]}], ids=str)
def test_values_of_another_kind(key: str, value: Any, tmp_path: Path) -> None:
    data = {**json.loads(content()), key: value}
    if data != json.loads(content()):
        refused(written(tmp_path, data))


def test_a_record_cut_off_anywhere(tmp_path: Path) -> None:
    whole = content().encode()
    for length in range(0, len(whole), 97):
        assert "is no calibration record" in refused(written(tmp_path, whole[:length]))


def json_or_none(text: bytes | bytearray) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path: Path) -> None:
    rng, whole = np.random.default_rng(0), content().encode()
    found = 0
    for place, bit in zip(rng.integers(0, len(whole), 300), rng.integers(0, 8, 300), strict=True):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path = written(tmp_path, bytes(damaged))
        if json_or_none(damaged) == json.loads(whole):  # the last digit of a number may not matter
            assert CalibrationRecord.load(path) == quantized().record
        else:
            refused(path)
            found += 1
    assert found > 270


DEEP = b'{"a": ' * 400 + b"1" + b"}" * 400


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is no calibration record"),
        (b"\x89PNG\r\n\x1a\n", "is no calibration record"),
        (b"[]", "is no calibration record: it has no sites"),
        (b'"sites"', "is no calibration record: it has no sites"),
        (b'{"schema": 2, "name": "a manifest"}', "is no calibration record: it has no sites"),
        (b'{"schema": 1, "sites": {}}', f"is a calibration record of schema 1; this version reads {SCHEMA}"),
        (b'{"schema": ' + DEEP + b', "sites": {}}', "is a calibration record of schema {'a': {'a'"),
        (b'{"schema": 2, "sites": {}}', "is damaged"),
        (b'{"schema": 2, "sites": []}', "is damaged"),
        (b'{"schema": 2, "sites": {"a": {"names": []}}}', "is damaged"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (LONGEST_JSON + 1), f"{LONGEST_JSON + 1} bytes"),
        (b'{"sites": ' + b"9" * 5000 + b"}", "is no calibration record"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_files_that_are_no_record(data: bytes, says: str, tmp_path: Path) -> None:
    assert says in refused(written(tmp_path, data))


@pytest.mark.parametrize("depth", [50, 200, 450, 900, 5000])
def test_nesting_of_any_depth(depth: int, tmp_path: Path) -> None:
    for key in ("model", "sites", "biases", "recipe", "sample_ids", "samples"):
        whole = json.loads(content())
        whole[key] = "DEEP"
        text = json.dumps(whole).replace('"DEEP"', '{"a":' * depth + "1" + "}" * depth)
        refused(written(tmp_path, text.encode()))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.json")
    assert "not a regular file" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "pipe")


def forged(**fields: Any) -> dict[str, Any]:
    """A record of impossible content under the id that belongs to it."""
    data: dict[str, Any] = json.loads(json.dumps(identified(replace(quantized().record, **fields)).as_dict()))
    return data


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(low=0.25), " is 0.25 to"),
        (dict(high=-1.0), " to -1, its scale"),
        (dict(scale=0.0), "its scale 0"),
        (dict(high=float("inf")), "to inf"),
        (dict(low=float("nan")), "is nan to"),
        (dict(low=-1e400), "is -inf to"),
    ],
    ids=str,
)
def test_ranges_that_no_calibration_gives(change: dict[str, float], says: str, tmp_path: Path) -> None:
    name, site = next(iter(quantized().record.sites.items()))
    changed_site = replace(site, **change)  # type: ignore[arg-type]  # any field
    data = forged(sites={**quantized().record.sites, name: changed_site})
    assert says in refused(written(tmp_path, data))


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "AADAfw==", "AACAfw=="])
def test_biases_that_are_no_numbers(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, forged(biases={"conv2d": text}))
    try:
        record = CalibrationRecord.load(path)  # no number at all is a list of them
    except RequestError:
        assert "is damaged" in refused(path)
        return
    with pytest.raises(RequestError, match="has 0 biases for conv2d, which has 6 channels; calibrate this model anew"):
        onenet.calibrate(lowered(), record)


# --- other models -----------------------------------------------------------


def not_taken(model: Model, record: CalibrationRecord) -> str:
    with pytest.raises(RequestError) as caught:
        onenet.calibrate(model, record)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_record_of_other_weights() -> None:
    text = not_taken(lowered(1), quantized().record)
    own, given = (str(lowered(seed).spec.source["weights_sha256"])[:24] for seed in (0, 1))
    assert text == f"the calibration record belongs to a model with weights_sha256 {own}, this one has {given}"


def test_a_record_of_another_input_size() -> None:
    text = not_taken(lowered(0, (24, 16)), quantized().record)
    assert text == "the calibration record belongs to a model with input image [1, 3, 24, 24], this one has [1, 3, 24, 16]"


def test_a_record_of_another_name() -> None:
    other = replace(lowered(), spec=replace(lowered().spec, name="other"))
    assert "belongs to a model with name" in not_taken(other, quantized().record)


def test_a_record_of_the_same_network_lowered_otherwise() -> None:
    record = quantized().record
    sites = {name: site for name, site in record.sites.items() if name != "relu"}
    assert "has no range for relu; calibrate this model anew" in not_taken(lowered(), replace(record, sites=sites))
