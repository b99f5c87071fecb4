"""Data as a function of parameters and seed; parameters that make no sense; what is written and drawn."""

import numpy as np
import pytest
import torch
from gancore_synthetic.config import PARAMETERS, SyntheticConfig
from gancore_synthetic.domain import SyntheticDomain
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from refusals import refused

from gancore import ConfigError, DataError, Samples, Source
from gancore.config_layers import resolve_config
from gancore.random import Key

SMALL = {"train_examples": 300, "validation_examples": 50}
EVERY = sorted({name for parameters in PARAMETERS.values() for name in parameters})


def opened(source, **parameters):
    return SyntheticDomain().open(Source(source), SyntheticConfig(source=source, **{**SMALL, **parameters}))


def rows(view):
    return view.get_batch(torch.arange(len(view)), Key.of(0))


@pytest.mark.parametrize("source", PARAMETERS)
def test_every_source_gives_its_rows(source):
    data = opened(source)
    assert [len(view) for view in (data.view("train"), data.view("valid"), data.view("test"))] == [
        300,
        50,
        50,
    ]
    batch = rows(data.view("train"))
    assert batch.data.shape == (300, *data.spec["shape"]) and batch.data.dtype is torch.float32
    assert batch.data.isfinite().all() and data.view("train").to("cpu").size_mb < 1
    classes = data.spec.get("classes")
    assert (batch.condition is None) == (classes is None)
    if classes:
        assert torch.equal(data.view("train").get_conditions(torch.tensor([3, 5])), batch.condition[[3, 5]])
        assert batch.condition.max() < len(classes) and sum(data.spec["class_shares"]) == pytest.approx(1)


@pytest.mark.parametrize("source", PARAMETERS)
def test_data_are_a_function_of_seed_and_parameters(source):
    one, same, other = (opened(source, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(rows(one.view("train")).data, rows(same.view("train")).data)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    if source != "lattice":  # its points are few
        assert not torch.equal(rows(one.view("train")).data, rows(other.view("train")).data)
    assert not torch.equal(rows(one.view("valid")).data, rows(one.view("test")).data)


def test_the_default_is_pacgans_ring():
    data = SyntheticDomain().open(Source("ring"), SyntheticConfig())
    assert len(data.view("train")) == 100_000 and len(data.spec["classes"]) == 8
    assert data.summary[0].startswith("data: ring, ") and "std 0.01" in data.summary[1]
    assert next(iter(SyntheticDomain.sources)) == "ring"


@given(source=st.sampled_from(sorted(PARAMETERS)), parameter=st.sampled_from(EVERY))
@settings(deadline=None, max_examples=200)
def test_a_parameter_is_taken_by_its_own_sources_and_refused_by_the_others(source, parameter):
    value = next(parameters[parameter] for parameters in PARAMETERS.values() if parameter in parameters)
    if parameter in PARAMETERS[source]:
        assert (
            SyntheticConfig(source=source, **{parameter: PARAMETERS[source][parameter]}).parameters()
            == PARAMETERS[source]
        )
    else:
        with refused(ValidationError, source, parameter):
            SyntheticConfig(source=source, **{parameter: value})


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ({"source": "grid", "components": 10}, "grid 10"),
        (
            {"source": "manifold", "intrinsic_dimension": 5, "ambient_dimension": 5},
            "intrinsic_dimension ambient_dimension",
        ),
        ({"source": "lattice", "levels": 30, "dimension": 3}, "lattice 10,000 levels"),
        ({"source": "ring", "std": 0}, "std greater 0"),
        ({"source": "student-t", "nu": 0.1}, "nu greater 0.5"),
        ({"source": "polygons", "vertices": 2}, "vertices greater 3"),
    ],
)
def test_knobs_that_make_no_sense_are_refused(given, result):
    with refused(ValidationError, *result.split()):
        SyntheticConfig(**given)


def test_a_wrong_parameter_is_one_line_with_its_place():
    with pytest.raises(ConfigError) as caught:
        resolve_config("synthetic", data="ring", overrides=["data.turns=2"])
    assert "ring has no parameter 'turns'; its parameters are components, radius, std, imbalance" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_folders_are_not_read(tmp_path):
    (tmp_path / "points").mkdir()
    with refused(DataError, "points", fix="npy"):
        SyntheticDomain().open(
            Source("points", tmp_path / "points"), SyntheticConfig(source=str(tmp_path / "points"))
        )


def samples(source, n=7, **parameters):
    data = opened(source, **parameters)
    batch = data.view("valid").get_batch(torch.arange(n), Key.of(0))
    return Samples(batch.data, data.spec, batch.condition)


@pytest.mark.slow
def test_points_are_written_as_tables(tmp_path):
    given = samples("spirals")
    files = SyntheticDomain().write(given, tmp_path / "new")
    assert [file.name for file in files] == ["samples.npy", "samples.csv", "overview.png"]
    assert np.array_equal(np.load(files[0]), given.data.numpy())
    lines = files[1].read_text().splitlines()
    assert lines[0] == "x1,x2,label" and len(lines) == 8
    first = lines[1].split(",")
    assert [float(x) for x in first[:2]] == pytest.approx(given.data[0].tolist(), rel=1e-6)
    assert first[2] == given.spec["classes"][int(given.condition[0])]


def test_pictures_are_written_as_pictures(tmp_path):
    given = samples("polygons", image_size=16)
    files = SyntheticDomain().write(given, tmp_path)
    pictures = [file for file in files if file.name.startswith("0")]
    assert len(pictures) == 7
    for number, file in enumerate(pictures):
        grey = np.asarray(Image.open(file)) / 255
        assert np.abs(grey - given.data[number, 0].numpy()).max() <= 0.5 / 255 + 1e-6
        assert file.stem.endswith(f"-{given.spec['classes'][int(given.condition[number])]}")


def test_the_same_samples_give_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        SyntheticDomain().write(samples("ring"), tmp_path / folder)
    one, two = (sorted((tmp_path / folder).iterdir()) for folder in ("one", "two"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


@pytest.mark.parametrize("source", PARAMETERS)
def test_every_source_has_a_picture(source):
    """Samples that are not finite too: a preview must not stop a run."""
    given = samples(source)
    good = np.asarray(SyntheticDomain().preview(given))
    broken = Samples(torch.full_like(given.data, torch.nan), given.spec, given.condition)
    bad = np.asarray(SyntheticDomain().preview(broken))
    assert good.shape[2:] in ((3,), ()) and good.std() > 1
    assert not np.array_equal(good, bad)


def test_one_dimension_is_a_histogram():
    assert np.asarray(SyntheticDomain().preview(samples("student-t", dimension=1))).std() > 1
