"""The distributions as wheels: what is in them, and that they work where nothing of the repository is."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import DISTRIBUTIONS, ROOT, sources

LEFT_BEHIND = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "runs", "samples")
SUFFIXES = {".css", ".html", ".json", ".md", ".png", ".py", ".safetensors", ".template", ".typed"}
"""Of the files in our packages."""
MOST_MB = 12.0
"""Of a wheel; trained models are most of it."""
FEW_STEPS = "--steps 2 --set model.batch_size=4 --set validation.samples=8"
DOMAINS = {
    "audio": ("wavegan-lite,audiovae", "--set data.sample_rate_hz=8000 --set data.length=1024", "frechet"),
    "graph": ("netgan,erdos-renyi", "--data les_miserables", "link_roc_auc"),
    "image": ("dcgan-lite,imagevae", "--data digits --set data.image_size=16", "frechet"),
    "synthetic": ("mlpgan,realnvp", "--data ring", "density_error"),
    "text": ("gumbelgan,lstm-lm", "--data python_reference", "character_js_2"),
}
"""A GAN and a likelihood model, small data, and a measure that trains nothing."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of them, built from a copy: nothing that lies about in the tree gets in or is left there."""
    place = tmp_path_factory.mktemp("wheels")
    shutil.copytree(ROOT, place / "tree", ignore=LEFT_BEHIND)
    for distribution in DISTRIBUTIONS:
        folder = place / "tree" / distribution.relative_to(ROOT)
        words = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(place / "out"), str(folder)]
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return place / "out"


@pytest.fixture(scope="module")
def complete(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("complete"), wheels, "gancore[all]")


class Environment:
    """A fresh environment in which pip installed ``wanted`` from the wheels, without a registry.

    All that they depend on is linked from this interpreter's packages, without our own, which are
    installations of the repository.
    """

    def __init__(self, place: Path, wheels: Path, wanted: str) -> None:
        self.place, self.work = place / "venv", place / "work"
        self.work.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.place], check=True)
        others = place / "others"
        others.mkdir()
        for path in installed_packages():
            if "gancore" not in path.name and path.suffix != ".pth":
                (others / path.name).symlink_to(path)
        (packages,) = self.place.glob("lib/python*/site-packages")
        (packages / "others.pth").write_text(f"{others}\n")
        words = ["install", "--quiet", "--no-index", "--find-links", str(wheels), wanted]
        subprocess.run([sys.executable, "-m", "pip", "--python", self.python, *words], check=True)

    @property
    def python(self) -> str:
        return str(self.place / "bin" / "python")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A program of the environment, which does not see the repository."""
        variables = {"PATH": "/usr/bin:/bin", "HOME": str(self.work), "OMP_NUM_THREADS": "1"}
        return subprocess.run(words, cwd=self.work, env=variables, capture_output=True, text=True)

    def gancore(self, line: str) -> str:
        done = self.run(str(self.place / "bin" / "gancore"), *line.split())
        assert done.returncode == 0, done.stderr
        return done.stdout


def installed_packages() -> list[Path]:
    torch = importlib.util.find_spec("torch")
    assert torch and torch.origin
    return sorted(Path(torch.origin).parents[1].iterdir())


def names_in(wheels: Path) -> dict[str, list[str]]:
    return {wheel.name: zipfile.ZipFile(wheel).namelist() for wheel in sorted(wheels.glob("*.whl"))}


@pytest.mark.slow
def test_all_that_belongs_into_the_wheels_is_there(wheels):
    held = {name for names in names_in(wheels).values() for name in names}
    packages = [(place, path) for place in DISTRIBUTIONS for path in place.glob("gancore*") if path.is_dir()]
    packages = [(place, path) for place, path in packages if (path / "__init__.py").exists()]
    assert len(packages) == len(DISTRIBUTIONS) == len(names_in(wheels))
    needed = {path.relative_to(place).as_posix() for place, package in packages for path in sources(package)}
    texts = {
        path for kind in ("template", "html", "css", "json") for path in (ROOT / "gancore").rglob(f"*.{kind}")
    }
    models = {
        file.relative_to(place).as_posix()
        for place in DISTRIBUTIONS
        for file in place.glob("gancore_*/models/*/*")
    }
    assert texts and models
    needed |= models | {path.relative_to(ROOT).as_posix() for path in texts} | {"gancore/py.typed"}
    assert needed - held == set()
    assert sum(name.endswith("licenses/LICENSE") for name in held) == len(DISTRIBUTIONS)


@pytest.mark.slow
def test_nothing_else_is_in_the_wheels(wheels):
    for wheel, names in names_in(wheels).items():
        own = wheel.partition("-")[0]
        files = [name for name in names if not name.startswith(f"{own}-")]  # the others are metadata
        assert {name.partition("/")[0] for name in files} == {own}
        assert {Path(name).suffix for name in files} <= SUFFIXES, wheel
        assert not [name for name in files if "/tests/" in name and "/scaffold/" not in name]
        assert (wheels / wheel).stat().st_size < MOST_MB * 1e6, wheel


@pytest.mark.slow
def test_a_domain_that_is_not_installed_is_named_with_its_extra(wheels, tmp_path):
    environment = Environment(tmp_path, wheels, "gancore[audio,image]")
    assert {line.split()[0] for line in environment.gancore("plugins").splitlines()[1:]} == {"audio", "image"}
    for line in ("train --domain graph", "generate graph/cora-ml", "compare --domain graph"):
        done = environment.run(str(environment.place / "bin" / "gancore"), *line.split())
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
        assert 'pip install "gancore[graph]"' in done.stderr, line


@pytest.mark.long
def test_they_come_from_the_environment_alone(complete):
    program = "import gancore, sys; print(gancore.__file__, *sys.path)"
    found = complete.run(complete.python, "-c", program).stdout
    assert str(complete.place) in found and str(ROOT) not in found
    assert all(f"{domain} " in complete.gancore("plugins") for domain in DOMAINS)


@pytest.mark.long
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_trains_generates_and_compares(complete, domain):
    recipes, data, metric = DOMAINS[domain]
    complete.gancore(
        f"train --domain {domain} {data} --recipe {recipes.split(',')[0]} --out {domain} {FEW_STEPS}"
    )
    files = complete.gancore(f"generate {domain} -n 3 --out {domain}-samples").split()
    assert files and all((complete.work / name).is_file() for name in files)
    pair = f"compare --domain {domain} {data} --recipes {recipes} --metrics {metric} -n 16"
    complete.gancore(f"{pair} {FEW_STEPS} --out {domain}-compared --quiet")
    assert metric in (complete.work / f"{domain}-compared" / "report.json").read_text()


@pytest.mark.long
def test_every_shipped_model_generates(complete):
    models = [model["id"] for model in json.loads(complete.gancore("models --json"))]
    assert {name.partition("/")[0] for name in models} == set(DOMAINS)
    for name in models:
        files = complete.gancore(f"generate --model {name} -n 2 --out {name}").split()
        assert files and all((complete.work / file).is_file() for file in files), name
