"""The distributions as wheels, installed in a clean environment and used from another folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import DISTRIBUTIONS, ROOT, sources

pytestmark = pytest.mark.long

LEFT_BEHIND = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "runs", "samples")
TINY = "--set data.sample_rate_hz=8000 --set data.length=256 --set model.width=2 --set validation.samples=8"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    """Built from a copy, so that nothing that lies about in the tree gets in or is left there."""
    place = tmp_path_factory.mktemp("wheels")
    shutil.copytree(ROOT, place / "tree", ignore=LEFT_BEHIND)
    for distribution in DISTRIBUTIONS:
        folder = place / "tree" / distribution.relative_to(ROOT)
        words = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(place / "out"), str(folder)]
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return sorted((place / "out").glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheels, tmp_path_factory) -> Path:
    """A fresh environment with the wheels; what they depend on is seen from here by a .pth file."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    python = place / "bin" / "python"
    own, heavy = (site_packages(Path(program)) for program in (python, sys.executable))
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *wheels], check=True
    )
    # Last on the path; the .pth files there, and so our editable installations, are not read.
    (own / "heavy.pth").write_text(f"{heavy}\n")
    return place


def site_packages(python: Path) -> Path:
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def test_every_module_and_the_licence_are_in_the_wheels(wheels):
    held = {name for wheel in wheels for name in zipfile.ZipFile(wheel).namelist()}
    packages = [(place, path) for place in DISTRIBUTIONS for path in place.glob("gancore*") if path.is_dir()]
    packages = [(place, path) for place, path in packages if (path / "__init__.py").exists()]
    needed = {path.relative_to(place).as_posix() for place, package in packages for path in sources(package)}
    assert len(packages) == len(DISTRIBUTIONS) == len(wheels)
    assert needed - held == set()
    assert "gancore/py.typed" in held
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gancore").rglob("*.template")}
    assert templates and templates - held == set()
    models = {
        file.relative_to(place).as_posix()
        for place in DISTRIBUTIONS
        for file in place.glob("gancore_*/models/*/*")
    }
    assert models and models - held == set()
    assert sum(name.endswith("licenses/LICENSE") for name in held) == len(wheels)


def test_nothing_else_is_in_the_wheels(wheels):
    tops = {name.partition("/")[0] for wheel in wheels for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in tops if not name.startswith("gancore")} == set()


def test_they_train_and_generate_from_another_folder(environment, tmp_path):
    def gancore(line: str) -> str:
        done = subprocess.run(
            [environment / "bin" / "gancore", *line.split()], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    program = "import gancore, gancore_audio; print(gancore.__file__, gancore_audio.__file__)"
    found = subprocess.run(
        [environment / "bin" / "python", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.stdout.count(str(environment)) == 2, found.stdout + found.stderr
    assert "gancore-audio" in gancore("plugins")
    gancore(f"train --domain audio --steps 2 --out run {TINY}")
    files = gancore("generate run -n 3 --out samples").split()
    assert len([name for name in files if name.endswith(".wav")]) == 3
    assert all((tmp_path / name).is_file() for name in files)
