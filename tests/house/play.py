"""Plays a document: writes its files, runs its commands and its Python, in order, with tiny training.

In ```sh blocks every line is a command: ``gancore`` ones are run word for word (training is made tiny by
settings of its own, later than those of the line), the others must be ones that :func:`check` knows.
A ```python, ```toml or ```yaml block that begins with ``# path/of.file`` is written there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import math
import os
import random
import re
import shlex
import struct
import subprocess
import sys
import tomllib
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(sh|python|toml|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONTRACT = re.compile(r"# gancore[\w.]*\n")  # signatures, which test_contracts compares with the code
FILE = re.compile(r"# ([\w.-]+/[\w./-]+|[\w-]+\.(?:yaml|toml|py))\n")
TINY = ["train.steps=2", "logging.preview_samples=2", "validation.samples=8", "model.batch_size=4"]
TINY_COMPARISON = {"steps": 2, "seeds": 1, "n": 16, "metrics": ["frechet"], "jobs": 1}
DOERS = ("cat", "dog", "bird", "king", "boat", "tree", "wolf", "cook", "moon", "girl")
OWN_RUNS = {
    "runs/first": "--domain audio --set model.conditional=true",
    "runs/ring": "--domain synthetic",
}
"""Runs that documents speak of, and how they are made where a document does not."""
TINY_AUDIO = [*TINY, "data.sample_rate_hz=8000", "data.length=1024", "model.width=2"]


def play(document: Path) -> None:
    """In the working folder, and in a process that ends with it: much is put in the place of other things.

    Raises:
        SystemExit: a command failed, or nobody checks it.
    """
    text = document.read_text()
    sys.path.insert(0, os.getcwd())
    os.environ |= {"OMP_NUM_THREADS": "1", "GANCORE_TRACEBACK": "1"}
    make_recordings(Path("recordings"))
    make_pictures(Path("pictures"))
    make_texts(Path("sentences.txt"), Path("reviews.csv"))
    make_graph(Path("network.edges"))
    make_training_tiny()
    make_judges_tiny()
    make_comparisons_tiny()
    make_sweeps_tiny()
    played = "".join(body for _, body in BLOCK.findall(text))
    for run, options in OWN_RUNS.items():
        if re.search(rf"{run}(?![\w-])", played) and f"--out {run}" not in played:
            command(f"gancore train {options} --out {run} --quiet")
    with local_models() if "hub:ada/" in played else contextlib.nullcontext():
        play_blocks(document, text)


def play_blocks(document: Path, text: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for kind, body in BLOCK.findall(text):
        place = FILE.match(body)
        if place:
            path = Path(place[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)
        elif kind == "sh":
            for line in body.replace("\\\n", " ").splitlines():
                command(line)
        elif kind == "python" and not CONTRACT.match(body):
            exec(compile(body, f"{document.name}, {body.splitlines()[0]}", "exec"), names)
        elif kind in ("toml", "yaml"):
            raise SystemExit(f"{document.name}: a {kind} block that names no file")


def make_recordings(folder: Path) -> None:
    """Twelve short sounds of two kinds, in a folder each."""
    chance = random.Random(0)
    for number in range(12):
        pitch_hz = chance.uniform(200, 2000)
        tone = [0.5 * math.sin(2 * math.pi * pitch_hz * t / 8000) for t in range(2400)]
        path = folder / ("low" if pitch_hz < 1000 else "high") / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(b"".join(struct.pack("<h", round(32767 * x)) for x in tone))


def make_pictures(folder: Path) -> None:
    """Twelve small pictures of two kinds, in a folder each."""
    from PIL import Image

    chance = random.Random(0)
    for number in range(12):
        kind = "bright" if number % 2 else "dark"
        levels = bytes(chance.randrange(128) + 127 * (number % 2) for _ in range(24 * 20))
        path = folder / kind / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("L", (24, 20), levels).save(path)


def make_texts(lines: Path, table: Path) -> None:
    """Sixty sentences, one a line, and as rows with a label."""
    texts = [f"The {a} {b} {c}." for a in ("old", "red", "tall") for b in DOERS for c in ("sleeps", "sings")]
    lines.write_text("".join(f"{text}\n" for text in texts))
    table.write_text("text,stars\n" + "".join(f"{text},{n % 3}\n" for n, text in enumerate(texts)))


def make_graph(path: Path) -> None:
    """Sixty nodes in a ring, each joined to three others."""
    edges = [(node, (node + step) % 60) for node in range(60) for step in (1, 2, 7)]
    path.write_text("".join(f"{one} {other}\n" for one, other in edges))


@contextlib.contextmanager
def local_models() -> Iterator[None]:
    """In place of the hub: one on this machine, and a cache of its own."""
    from hub_server import local_hub
    from huggingface_hub import constants

    with local_hub() as hub:
        os.environ |= {"HF_ENDPOINT": hub.address, "HF_TOKEN": "secret"}
        constants.HF_HUB_CACHE = os.path.abspath("hub")
        yield


def make_training_tiny() -> None:
    """For the command line and for Python alike. A run that is resumed keeps the settings that it has."""
    import gancore
    from gancore import api

    train = api.train

    def tiny(domain: str | None = None, **given: Any) -> Any:
        if given.get("resume") in (None, "auto"):
            unnamed = domain is None and given.get("init_from") is None and not callable(given.get("game"))
            is_audio = domain == "audio" or unnamed
            own = TINY_AUDIO if is_audio else TINY
            given["overrides"] = [*(given.get("overrides") or []), *own]
        return train(domain, **given)

    api.train = gancore.train = tiny


def make_judges_tiny() -> None:
    """Classifiers that an evaluation trains: a few steps, kept apart from those of whole length."""
    import gancore_audio.classifier
    import gancore_image.classifier

    from gancore.games import with_defaults

    os.environ["GANCORE_CACHE"] = os.path.abspath("cache")
    for plugin in (gancore_audio, gancore_image):
        with_defaults(steps=10)(plugin.classifier.ClassifierConfig)


def make_comparisons_tiny() -> None:
    """Their processes are spared: what each would do is done here, where everything is imported already."""
    import gancore
    from gancore import api
    from gancore.comparison import runner

    compare = api.compare

    def tiny(domain: str | None = None, **given: Any) -> Any:
        if given.get("resume") is None:
            data = [text for text in TINY_AUDIO if text.startswith("data.")] if domain == "audio" else []
            shared = [text for text in TINY if not text.startswith("train.")]
            given |= {"time": None, "samples": None, **TINY_COMPARISON}
            given |= {"metrics": ["gini"]} if domain == "graph" else {}
            given |= {"overrides": [*(given["overrides"] or []), *shared, *data]}
        return compare(domain, **given)

    api.compare = gancore.compare = tiny
    runner.JobPool = InProcess


class InProcess:
    """In place of the processes of a comparison."""

    def __init__(self, module: str, lock: int, announce: Any) -> None:
        self.announce = announce

    def __call__(self, job: Any, title: str) -> Any:
        from gancore.comparison.job import run_job
        from gancore.jobs import JobResult

        run_job(job)
        return JobResult(0)

    def stop(self) -> None:
        """Nothing runs beside this."""


def make_sweeps_tiny() -> None:
    """One trial of two steps, and no processes."""
    from gancore.sweep import worker

    run_sweep = worker.run_sweep

    def tiny(values: Any, recipes: Any, search: Any, options: Any, announce: Any) -> Any:
        shared = [text for text in TINY if not text.startswith("train.")]
        values = {**values, "time": None, "samples": None, "steps": 2}
        values["overrides"] = [*values["overrides"], *shared]
        return run_sweep(values, recipes, search, dataclasses.replace(options, trials=1), announce)

    worker.run_sweep = tiny
    worker.JobPool = SweepInProcess


class SweepInProcess:
    """In place of the processes of a sweep."""

    def __init__(self, module: str, lock: int | None, announce: Any) -> None:
        self.module = importlib.import_module(module)

    def __call__(self, job: Any, title: str) -> Any:
        from gancore.jobs import JobResult

        return JobResult(self.module.main(dataclasses.replace(job, parent_pid=0).to_json()))

    def stop(self) -> None:
        """Nothing runs beside this."""


def command(line: str) -> None:
    words = shlex.split(line, comments=True)
    if not words:
        return
    print("$", shlex.join(words), flush=True)
    if words[0] == "export":
        name, _, value = words[1].partition("=")
        os.environ[name] = value
    elif words[0] == "gancore":
        gancore(words[1:])
    elif words[:-1] in (["pip", "install"], ["pip", "install", "-e"]) and words[-1].startswith("./"):
        install(Path(words[-1]).absolute(), editable="-e" in words)
    else:
        check(words)


def gancore(words: list[str]) -> None:
    from gancore.cli import main

    words, _, target = (part for part in split_at(words, ">"))
    with contextlib.ExitStack() as stack:
        if target:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(target[0], "w"))))
        code = main(words)
    if code:
        raise SystemExit(f"gancore {shlex.join(words)}: exit code {code}")


def split_at(words: list[str], word: str) -> tuple[list[str], list[str], list[str]]:
    at = words.index(word) if word in words else len(words)
    return words[:at], words[at : at + 1], words[at + 1 :]


def install(folder: Path, editable: bool) -> None:
    """Into a folder of its own, from what is here; the plugin is then found as any installed one is.

    An editable one is imported from its own folder, as pip does it.
    """
    from gancore.plugins import registry

    site = Path("site").absolute()
    quietly = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "install", *quietly, "--target", str(site), str(folder)]
    subprocess.run(pip, check=True)
    sys.path[:0] = [str(folder), str(site)] if editable else [str(site)]
    registry.plugins.cache_clear()


def check(words: list[str]) -> None:
    """What is not run here: each is known, and what it names exists."""
    match words:
        case ["git", "clone", _] | ["cd", "gancore"] | ["tensorboard", "--logdir", "runs"]:
            return
        case ["python3", "-m", "venv", ".venv"] | ["source", ".venv/bin/activate"]:
            return
        case ["make", target]:
            if re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE):
                return
        case ["pip", "install", "-c", file, *rest]:
            named = [file, *(word.partition("[")[0] for word in rest if not word.startswith("-"))]
            if all((ROOT / name).exists() for name in named):
                return
        case ["pip", "install", *pins, "--index-url", _]:
            if set(pins) <= set((ROOT / "constraints.txt").read_text().splitlines()):
                return
        case ["pip", "install", named] if re.fullmatch(r"gancore\[[\w,]+\]", named):
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            if set(named[8:-1].split(",")) <= extras.keys():
                return
        case ["docker", "build", "-t", "gancore", "-f", file, "dist"] if (ROOT / file).exists():
            return
        case ["docker", "run", "--rm", "-v", "gancore:/data", "gancore", *inside]:  # its entry point
            return gancore(inside)
        case ["python", script, *rest] if Path(script).is_file():  # which the document has written
            subprocess.run([sys.executable, script, *rest], check=True)
            return
        case ["python", script, *_]:
            if (ROOT / script).is_file():
                return
    raise SystemExit(f"nobody checks this command: {shlex.join(words)}")
