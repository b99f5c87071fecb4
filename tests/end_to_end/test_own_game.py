"""``gancore.train(data=, game=build)``: a game of the program on rows of any shape, as a whole run."""

import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refused
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import gancore
from gancore import ConfigError, PluginError, Samples, Source, Spec
from gancore.array_domain import ArrayConfig, ArrayDomain
from gancore.cli import main
from gancore.config_layers import resolve_config
from gancore.games import AdversarialConfig, Discriminator, adversarial_game, find_game, normal
from gancore.random import Key

SCRIPT = """
import sys
import torch
import gancore
from torch import nn
from gancore.games import Discriminator, adversarial_game, normal

def build(spec):
    (size,) = spec["shape"]
    return adversarial_game(
        generator=lambda: nn.Linear(2, size),
        discriminator=lambda: Discriminator(nn.Linear(size, 1)),
        prior=normal(2),
    )

if __name__ == "__main__":
    verb, folder, steps = sys.argv[1:]
    rows = torch.arange(600.0).reshape(200, 3).sin()
    gancore.train(data=rows, game=build, steps=int(steps), **{verb: folder})
"""


def build(spec):
    size = int(np.prod(spec["shape"]))
    return adversarial_game(
        generator=lambda: nn.Sequential(nn.Linear(2, size), nn.Unflatten(1, spec["shape"])),
        discriminator=lambda: Discriminator(nn.Sequential(nn.Flatten(), nn.Linear(size, 1))),
        prior=normal(2),
    )


class Conditional(nn.Module):
    """A linear map of rows and labels."""

    def __init__(self, inputs, outputs, labels):
        super().__init__()
        self.net, self.embedding = nn.Linear(inputs, outputs), nn.Embedding(labels, outputs)

    def forward(self, rows, label):
        return self.net(rows) + self.embedding(label)


def build_with_config(config: AdversarialConfig, spec):
    labels = len(spec["classes"])
    return adversarial_game(
        generator=lambda: Conditional(2, 2, labels),
        discriminator=lambda: Discriminator(Conditional(2, 1, labels)),
        prior=normal(2),
        conditional=True,
        **config.game_options(),
    )


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(folder, steps=4, **given):
    return gancore.train(steps=steps, out=folder, progress="none", device="cpu", **given).folder


@pytest.mark.parametrize("shape", [(2,), (3,), (4, 5), (1, 6, 6), (6, 6, 3), (2, 3, 4, 5)], ids=str)
def test_rows_of_any_shape_train_load_and_are_written(tmp_path, shape):
    run = trained(tmp_path / "run", data=rows(100, *shape), game=build)
    samples = gancore.load(run).sample(5)
    gancore.generate(run, n=5, out=tmp_path / "made")
    assert samples.data.shape == (5, *shape)
    assert np.array_equal(np.load(tmp_path / "made" / "samples.npy"), samples.data.numpy())
    assert (tmp_path / "made" / "overview.png").exists() == (shape in [(2,), (4, 5), (1, 6, 6), (6, 6, 3)])
    assert gancore.load_game(run).jacobian(rows=8).dim() == 2


def test_a_data_set_of_pairs_gives_labels_as_conditions(tmp_path):
    given = TensorDataset(rows(200, 2), torch.arange(200) % 3 * 10)
    run = trained(tmp_path / "run", data=given, game=build_with_config, overrides=["model.optimizer=sgd"])
    model = gancore.load(run)
    assert model.spec["classes"] == ["0", "10", "20"]
    samples = model.sample(3, label="20")
    assert samples.labels() == ["20"] * 3
    data = gancore.load_game(run).data
    for split in ("train", "valid", "test"):
        view = data.view(split)
        batch = view.get_batch(torch.arange(len(view)), Key.of(0))
        for row, label in zip(batch.data, batch.condition, strict=True):
            (index,) = (given.tensors[0] == row).all(1).nonzero()[0].tolist()
            assert given.tensors[1][index] == 10 * label


def test_a_tensor_its_array_and_its_data_set_are_the_same_source():
    x = rows(50, 2)
    names = {resolve_config(data=given, game=build).data.source for given in (x, x.numpy(), TensorDataset(x))}
    assert len(names) == 1


class Uneven(Dataset):
    def __len__(self):
        return 30

    def __getitem__(self, index):
        return torch.zeros(2 + index % 2)


class Endless(IterableDataset):
    def __iter__(self):
        return iter([torch.zeros(2)])


@pytest.mark.parametrize(
    "given",
    [
        TensorDataset(rows(30, 2), rows(30), rows(30)),
        TensorDataset(rows(30, 2), rows(30)),
        Uneven(),
        Endless(),
        TensorDataset(torch.empty(0, 2)),
        DataLoader(TensorDataset(rows(30, 2))),
        torch.full((30, 2), torch.nan),
    ],
    ids=["three parts", "labels of floats", "uneven", "iterable", "empty", "loader", "nan"],
)
def test_data_that_are_no_rows_are_refused(given):
    with refused(ConfigError, "data"):
        resolve_config(data=given, game=build)


def no_game(spec):
    return nn.Linear(2, 2)


def other_parameters(data):
    return build(data)


@pytest.mark.parametrize(
    ("game", "named", "fix"),
    [
        (no_game, "Linear", "adversarial_game"),
        (other_parameters, "other_parameters", "spec"),
        (lambda spec: build(spec), "<lambda>", "module"),
        (3, "game", "spec"),
    ],
    ids=["no game", "parameters", "lambda", "number"],
)
def test_what_builds_no_game_is_refused_with_the_fix(tmp_path, game, named, fix):
    with refused(ConfigError, named, fix=fix):
        trained(tmp_path / "run", data=rows(50, 2), game=game)
    assert not (tmp_path / "run").exists()


def test_an_error_on_game_names_no_flag(tmp_path):
    """There is no ``--game``."""
    run_free = dict(data=rows(50, 2), recipe="realnvp", steps=1, out=tmp_path / "run")
    with refused(ConfigError, "model.game", "game=") as caught:
        gancore.train("synthetic", game="centred", **run_free)
    assert "--game" not in str(caught.value)
    with refused(ConfigError, "build", fix="AdversarialGame"):
        gancore.train("synthetic", game=build, **run_free)


def test_a_builder_takes_the_data_of_any_domain(tmp_path):
    run = trained(tmp_path / "run", domain="synthetic", data="ring", game=build)
    assert gancore.load(run).spec["source"] == "ring"


def test_a_domain_without_recipes_says_what_to_give():
    with refused(PluginError, "arrays", fix="game="):
        resolve_config("arrays", data=rows(50, 2))


def test_a_plugin_cannot_take_the_name_of_the_domain_of_arrays(monkeypatch, capsys):
    from types import SimpleNamespace

    from gancore.plugins import registry

    found = registry.PluginRegistry()
    hook = gancore.hookimpl(lambda: [gancore.DomainEntry("arrays", "theirs:Arrays", "")])
    found.register(SimpleNamespace(gancore_domains=hook), "theirs")
    found.load_all()
    assert isinstance(found.load_domain("arrays"), ArrayDomain)
    assert "'arrays' in gancore_domains" in capsys.readouterr().err


def test_splits_hold_every_row_once_and_equal_rows_are_together(tmp_path):
    x = rows(400, 3, seed=1)
    x[390:] = x[:10]
    np.save(tmp_path / "x.npy", x.numpy())
    data = ArrayDomain().open(Source("x", tmp_path / "x.npy"), ArrayConfig())
    parts = []
    for split in ("train", "valid", "test"):
        view = data.view(split)
        parts.append(view.get_batch(torch.arange(len(view)), Key.of(0)).data)
    assert torch.equal(torch.cat(parts).sort(0).values, x.sort(0).values)
    sets = [{tuple(row) for row in part.tolist()} for part in parts]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 390
    other = ArrayDomain().open(Source("x", tmp_path / "x.npy"), ArrayConfig(seed=1))
    assert other.fingerprint != data.fingerprint


def test_pictures_show_the_range_of_train():
    spec = Spec({"shape": [1, 8, 8], "low": [-1.0], "high": [1.0], "source": "x"})
    data = torch.full((1, 1, 8, 8), -1.0)
    data[..., 4:] = 1.0
    picture = np.asarray(ArrayDomain().preview(Samples(data, spec)))
    scale = picture.shape[0] // (8 + 4)
    row = picture[picture.shape[0] // 2, 2 * scale : -2 * scale, 0]
    assert set(row[: 4 * scale]) == {0} and set(row[4 * scale :]) == {255}


def test_a_stored_name_runs_no_code_but_what_is_written_for_it(tmp_path, monkeypatch):
    """What a file names is imported if its source defines ``name(spec)``, or imports gancore and has such a
    class; else nothing of it runs.
    """
    harmful = "raise SystemExit('ran')\ndef other(x): ...\nclass Other: ...\n"
    (tmp_path / "harmful_module.py").write_text(harmful)
    (tmp_path / "harmful_package").mkdir()
    (tmp_path / "harmful_package" / "__init__.py").write_text("raise SystemExit('ran')\n")
    (tmp_path / "harmful_package" / "inner.py").write_text("def other(x): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("harmful_module:other", "harmful_package.inner:other", "harmful_package:other", "no_such:f"):
        with refused(PluginError, name, fix="PYTHONPATH"):
            resolve_config("arrays", recipe=name)
    with refused(PluginError, "harmful_module:Other", fix="PYTHONPATH"):
        resolve_config("arrays", recipe="harmful_module:Other")
    with refused(PluginError, "harmful_module:Other", fix="PYTHONPATH"):
        find_game("harmful_module:Other")
    for name in ("os:system", "shutil:rmtree"):
        with pytest.raises(gancore.GancoreError):
            resolve_config("arrays", recipe=name)
    assert not {"harmful_module", "harmful_package"} & {*sys.modules}


def python(*arguments, folder, **environment):
    paths = os.pathsep.join([os.environ.get("PYTHONPATH", ""), environment.pop("path", "")])
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_script_trains_is_killed_resumes_and_its_run_serves_other_processes(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    assert ended(python(script, "out", "whole", 3000, folder=tmp_path))[0] == 0
    killed = python(script, "out", "cut", 3000, folder=tmp_path)
    deadline = time.monotonic() + 100
    while not any((tmp_path / "cut").glob("metrics.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    code, _, err = ended(python(script, "resume", "cut", 3000, folder=tmp_path))
    assert code == 0, err
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")

    generate = ("-m", "gancore", "generate", tmp_path / "cut", "-n", 2, "--out", tmp_path / "made")
    code, _, err = ended(python(*generate, folder="/", path=str(tmp_path)))
    assert code == 0, err
    assert np.load(tmp_path / "made/samples.npy").shape == (2, 3)
    code, _, err = ended(python(*generate, "--overwrite", folder="/"))
    lines = [line for line in err.splitlines() if "error:" in line]
    assert code == 2 and len(lines) == 1 and "mine:build" in lines[0] and "PYTHONPATH" in lines[0]
    evaluate = ("-m", "gancore", "evaluate", tmp_path / "cut", "--metrics", "sliced_wasserstein")
    assert ended(python(*evaluate, folder="/", path=str(tmp_path)))[0] == 0
    again = ("-m", "gancore", "train", "--resume", tmp_path / "cut", "--steps", 3010)
    assert ended(python(*again, folder="/", path=str(tmp_path)))[0] == 0


@pytest.mark.slow
def test_a_script_without_a_guard_is_not_run_again(tmp_path):
    script = tmp_path / "bare.py"
    bare = SCRIPT.replace('if __name__ == "__main__":', "if True:")
    script.write_text(bare.replace("sys.argv[1:]", '"out", "run", 5'))
    assert ended(python(script, folder=tmp_path))[0] == 0
    command = ("-m", "gancore", "generate", tmp_path / "run", "-n", 2, "--out", tmp_path / "made")
    code, _, err = ended(python(*command, folder="/", path=str(tmp_path)))
    lines = [line for line in err.splitlines() if "error:" in line]
    assert code == 2 and len(lines) == 1 and "__main__" in lines[0] and "bare" in lines[0]


TERM = """
import torch
from gancore.games import AdversarialGame

torch.rand(1)  # what a module draws changes no weight

class Centred(AdversarialGame):
    def generator_cost(self, draw):
        fake = self.make_fake(draw, None)
        return super().generator_cost(draw).add("centre", fake.flatten(1).mean(1) ** 2, scale=0.1)
"""
TERM_MAIN = """
if __name__ == "__main__":
    import gancore
    settings = ["model.width=8", "model.batch_size=8"]
    gancore.train("synthetic", recipe="mlpgan", game=Centred, overrides=settings, steps=3, out="run")
"""


@pytest.fixture
def forgotten():
    """Forgets ``my_term`` as another process does, now and afterwards."""

    def forget():
        sys.modules.pop("my_term", None)

    yield forget
    forget()


def test_the_commands_find_a_class_on_the_path(tmp_path, monkeypatch, capsys, forgotten):
    """Trained, sampled, evaluated and resumed; without the path one line names the class and the fix."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_term.py").write_text(TERM)
    run, settings = str(tmp_path / "run"), ["model.width=8", "model.batch_size=8"]
    named = [word for value in [*settings, "model.game=my_term:Centred"] for word in ("--set", value)]
    given = ["--domain", "synthetic", "--recipe", "mlpgan", "--steps", "4", "--device", "cpu", "--out"]
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path / "code")
        assert main(["train", *given, run, *named]) == 0
        mine = import_module("my_term").Centred
        common = dict(recipe="mlpgan", game=mine, steps=4, overrides=settings, device="cpu")
        gancore.train("synthetic", **common, out=tmp_path / "same")
    assert weights(tmp_path / "same") == weights(tmp_path / "run")
    for words in (
        ["generate", run, "-n", "2", "--out", str(tmp_path / "made")],
        ["evaluate", run, "--metrics", "sliced_wasserstein", "-n", "20"],
        ["train", "--resume", run, "--steps", "6"],
    ):
        forgotten()
        capsys.readouterr()
        assert main(words) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
        assert len(lines) == 1 and "my_term:Centred" in lines[0] and "PYTHONPATH" in lines[0]
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / "code")
            assert main(words) == 0


@pytest.mark.slow
def test_a_class_of_a_script_is_found_by_the_name_of_its_file(tmp_path):
    (tmp_path / "my_term.py").write_text(TERM + TERM_MAIN)
    code, _, err = ended(python("my_term.py", folder=tmp_path))
    assert code == 0, err
    assert "my_term:Centred" in (tmp_path / "run" / "config.yaml").read_text()
    resume = ("-m", "gancore", "train", "--resume", tmp_path / "run", "--steps", 5)
    code, _, err = ended(python(*resume, folder="/", path=str(tmp_path)))
    assert code == 0, err
