"""Points of one's own: from a file, or from a program, whose run any process can go on with."""

import shutil
import sys
import warnings
from types import ModuleType

import numpy as np
import pytest
import torch
from forks import Fork
from gancore_synthetic.config import SyntheticConfig, SyntheticSchema
from gancore_synthetic.domain import SyntheticDomain
from gancore_synthetic.metrics import meaningful_metrics
from linear_gan import LinearGAN
from refusals import refused

import gancore
from gancore import CheckpointError, ConfigError, DataError, PluginError, Samples, Source
from gancore.config_layers import resolve_config
from gancore.data.dataset import validate_spec
from gancore.random import Key

TINY = ["model.width=4", "model.batch_size=8", "validation.samples=16"]


def points(n=200, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def opened(path, **settings):
    return SyntheticDomain().open(Source(path.name, path), SyntheticConfig(source=str(path), **settings))


def split(data):
    views = (data.view("train"), data.view("valid"), data.view("test"))
    return [view.get_batch(torch.arange(len(view)), Key.of(0)).data for view in views]


def trained(folder, steps=3, **result):
    options = {"out": folder, "overrides": TINY} | result
    return gancore.train("synthetic", steps=steps, progress="none", **options)


def test_a_file_of_points_is_split_and_no_row_is_lost(tmp_path):
    file = tmp_path / "mine.npy"
    np.save(file, points().numpy())
    data = opened(file)
    parts = split(data)
    assert [len(part) for part in parts] == [160, 20, 20]
    assert torch.equal(torch.cat(parts).sort(0).values, points().sort(0).values)
    assert opened(file, seed=1).fingerprint != data.fingerprint == opened(file).fingerprint
    assert not meaningful_metrics(data.spec), "no truth is known"


def test_equal_rows_are_in_one_split(tmp_path):
    rows = points(400)
    rows[380:] = rows[torch.arange(20) * 7]
    rows[5, 1], rows[399] = 0.0, rows[5]
    rows[399, 1] = -0.0
    np.save(tmp_path / "mine.npy", rows.numpy())
    data = opened(tmp_path / "mine.npy")
    parts = split(data)
    sets = [{tuple(row) for row in part.tolist()} for part in parts]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 380
    assert sum(map(len, parts)) == 400 and min(map(len, parts)) >= 38
    assert "repeated: 20 rows" in "; ".join(data.summary)


def test_points_of_a_lattice_are_drawn_row_by_row(tmp_path):
    """Few points, each many times: no split is to lack one."""
    np.save(tmp_path / "mine.npy", points(2000, 2).round().clamp(-1, 1).numpy())
    data = opened(tmp_path / "mine.npy")
    parts = split(data)
    assert [len(part) for part in parts] == [1600, 200, 200]
    assert len({len(part.unique(dim=0)) for part in parts}) == 1
    assert any(line.startswith("repeated: 1,99") for line in data.summary)


def test_a_model_of_any_number_of_own_points_opens():
    own = {"user_points": True, "source": "mine.npy", "parameters": {}, "seed": 0, "shape": [2]}
    validate_spec(SyntheticSchema, {**own, "train_examples": 8_000_000}, "model")
    with refused(CheckpointError, "5,000,000"):
        drawn = opened_facts("circles")
        validate_spec(SyntheticSchema, {**drawn, "train_examples": 8_000_000}, "model")


def opened_facts(source):
    config = SyntheticConfig(source=source, train_examples=100, validation_examples=20)
    return dict(SyntheticDomain().open(Source(source), config).spec.fields)


@pytest.mark.parametrize("coordinates", [1, 2, 5])
def test_points_are_drawn_over_their_outline(tmp_path, coordinates):
    np.save(tmp_path / "mine.npy", points(d=coordinates).numpy())
    data = opened(tmp_path / "mine.npy")
    assert SyntheticDomain().preview(Samples(points(50, coordinates), data.spec)).size == (560, 560)
    rows = {tuple(row) for row in points(d=coordinates).tolist()}
    kept = data.spec.tensors["outline_edges"].T.reshape(-1, min(2, coordinates))
    assert coordinates == 1 or rows.isdisjoint(tuple(row) for row in kept.tolist())


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((30, 4, 4)),
        np.zeros((3, 2)),
        np.full((30, 2), np.nan),
        np.full((30, 2), 1e300),
        np.array([["a", "b"]] * 30),
    ],
    ids=["pictures", "few", "nan", "large", "text"],
)
def test_other_files_are_refused(tmp_path, array):
    np.save(tmp_path / "mine.npy", array)
    with refused(DataError, "mine.npy"), warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(tmp_path / "mine.npy")


def test_files_that_are_npy_by_name_alone_are_refused(tmp_path):
    file = tmp_path / "mine.npy"
    with file.open("wb") as opened_file:
        np.savez(opened_file, points().numpy())
    with refused(DataError, "mine.npy", fix="npy"):
        opened(file)
    with file.open("wb") as opened_file:  # of 2^50 rows one is there
        head = {"descr": "<f4", "fortran_order": False, "shape": (2**50, 2)}
        np.lib.format.write_array_header_1_0(opened_file, head)
        opened_file.write(bytes(8))
    with refused(DataError, "mine.npy", 8, "9,007,199,254,740,992"):
        opened(file)


def test_what_is_no_file_of_points_is_refused(tmp_path):
    (tmp_path / "mine.csv").write_text("1,2\n")
    with refused(DataError, "mine.csv", fix="npy"):
        opened(tmp_path / "mine.csv")
    np.save(tmp_path / "mine.npy", points().numpy())
    with refused(ConfigError, "data.radius", "mine.npy"):
        opened(tmp_path / "mine.npy", radius=2.0)


def test_rows_of_a_program_live_in_the_run(tmp_path):
    """Resumed where the run was moved to, by a process that has never seen the rows, and evaluated."""
    trained(tmp_path / "a", data=points())
    shutil.move(tmp_path / "a", tmp_path / "b")

    def elsewhere():
        assert gancore.train(resume=tmp_path / "b", steps=4, progress="none").step == 4
        readings = gancore.evaluate(tmp_path / "b", n=16, metrics=["frechet"]).results
        assert readings[0].value is not None

    assert Fork(tmp_path, elsewhere).join() == 0, (tmp_path / "log.txt").read_text()


def test_equal_rows_go_on_and_others_are_refused(tmp_path):
    trained(tmp_path / "a", data=points())
    assert trained(tmp_path / "a", steps=4, data=points(), resume="auto").step == 4
    with refused(gancore.CheckpointError, "fingerprint"):
        gancore.train(resume=tmp_path / "a", data=points(seed=1), steps=5, progress="none")
    assert len(list((tmp_path / "a/data").iterdir())) == 1, "refused rows are not kept"
    with refused(ConfigError, "model.width"):
        gancore.train(
            resume=tmp_path / "a", data=points(seed=1), overrides=["model.width=5"], progress="none"
        )
    assert len(list((tmp_path / "a/data").iterdir())) == 1


def test_a_kill_after_the_rows_leaves_what_can_be_begun(tmp_path, monkeypatch):
    class KilledError(Exception):
        pass

    def killed(make_order, devices):
        make_order()
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("gancore.api.launch", killed)
        with pytest.raises(KilledError):
            trained(tmp_path / "a", data=points())
    assert trained(tmp_path / "a", data=points(), resume="auto").step == 3


@pytest.mark.parametrize(
    "rows",
    [torch.ones(5), points() * np.inf, np.array([["a"]]), torch.zeros(0, 2)],
    ids=["one axis", "infinite", "text", "none"],
)
def test_rows_that_cannot_be_kept_are_refused(tmp_path, rows):
    with refused(ConfigError, "data"):
        trained(tmp_path / "a", data=rows)
    assert not (tmp_path / "a").exists()


def test_a_run_that_cannot_begin_takes_its_rows_with_it(tmp_path):
    with refused(DataError):
        trained(tmp_path / "a", data=torch.zeros(30, 4, 4))
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_rows_are_compared(tmp_path):
    arguments = {"recipes": ["kde"], "steps": 2, "n": 16, "metrics": ["frechet"]}
    made = gancore.compare("synthetic", data=points(), out=tmp_path / "c", **arguments)
    assert made.failures == ()
    config = resolve_config("synthetic", data=points())
    assert (tmp_path / "c/data" / config.data.source).is_file()


def test_a_recipe_of_the_program_trains_and_loads(tmp_path, monkeypatch):
    """By its class; a process that does not find its module on the path is refused."""
    run = trained(tmp_path / "a", data=points(), recipe=LinearGAN, overrides=[])
    assert gancore.load(run.folder).sample(2).data.shape == (2, 3)
    assert gancore.train(resume=run.folder, steps=4, progress="none").step == 4
    monkeypatch.delitem(sys.modules, LinearGAN.__module__)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if "tests" not in place])
    with refused(PluginError, f"{LinearGAN.__module__}:LinearGAN", fix=LinearGAN.__module__):
        gancore.load(run.folder)


def test_only_recipes_are_taken_for_recipes():
    class Inside(gancore.Recipe):
        pass

    with refused(ConfigError, "Inside"):
        resolve_config("synthetic", recipe=Inside)
    with refused(PluginError, "os:system"):
        resolve_config("synthetic", recipe="os:system")


def test_looking_for_a_recipe_asks_no_module_to_make_its_names(monkeypatch):
    requests = []
    lazy = ModuleType("lazy")
    lazy.__getattr__ = lambda name: requests.append(name) or LinearGAN
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    with refused(PluginError, "lazy", "Heavy", fix="lazy"):
        resolve_config("synthetic", recipe="lazy:Heavy")
    for name in ("lazy:Heavy.deep", "sys:path.x", "sys:maxsize.real"):
        with refused(PluginError, name):
            resolve_config("synthetic", recipe=name)
    assert requests == []
