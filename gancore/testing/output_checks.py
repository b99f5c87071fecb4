"""Checks of what people get to see: files, pictures, diagnoses."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import torch

from gancore.domain import Finding, Samples
from gancore.testing.bench import DomainBench
from gancore.testing.check import Breach
from gancore.testing.order_checks import MEASURED, noise, repeated
from gancore.trees import map_tree


def writes_what_it_names(bench: DomainBench) -> None:
    """write returns every file that it writes: whole, inside the folder, for one sample and for several."""
    sizes = {}
    for n in (1, 5):
        for samples in _with_and_without_condition(bench, n):
            sizes[len(samples)] = _written(bench, samples)
    if len(sizes) > 1 and sizes[max(sizes)] <= sizes[1]:
        raise Breach(
            f"{max(sizes)} samples take no more room than one ({sizes[1]} bytes)", "write every sample"
        )


def _written(bench: DomainBench, samples: Samples) -> int:
    """Bytes in all."""
    with tempfile.TemporaryDirectory(prefix="gancore-check-") as place, contextlib.chdir(place):
        folder = Path(place).resolve() / "run" / "samples"
        paths = [Path(path) for path in bench.domain.write(samples, folder)]
        found = {path.resolve() for path in Path(place).resolve().rglob("*") if path.is_file()}
        named = {path.resolve() for path in paths}
        if not paths:
            raise Breach(f"write names no file for {len(samples)} samples", "return every file written")
        for path in sorted(named):
            if not path.is_file():
                raise Breach(f"write names {path.name}, and does not write it", "return what was written")
            if not path.is_relative_to(folder):
                raise Breach(
                    f"write puts {path.name} outside its folder", "write into the folder it is given"
                )
            if path.stat().st_size == 0:
                raise Breach(f"write leaves {path.name} empty", "write the sample into it")
        if extra := sorted(found - named):
            raise Breach(f"write leaves {extra[0].name}, and does not name it", "return every file written")
        return sum(path.stat().st_size for path in named)


def previews(bench: DomainBench) -> None:
    """preview gives one picture or None, of one sample and of several; show puts it into TensorBoard."""
    for n in (1, 5):
        for samples in _with_and_without_condition(bench, n):
            picture = bench.domain.preview(samples)
            if picture is None:
                continue
            if not (hasattr(picture, "convert") and min(getattr(picture, "size", (0, 0))) > 0):
                raise Breach(f"preview gives {type(picture).__name__}", "return a PIL picture, or None")
    bench.domain.show(bench.samples(2), _Writer(), 0)  # type: ignore[arg-type]


class _Writer:
    """Takes whatever TensorBoard's SummaryWriter takes."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("add_"):
            raise AttributeError(name)
        return lambda *given, **named: None


def diagnoses_no_real_data(bench: DomainBench) -> None:
    """diagnose gives findings, which say what was seen and what to try, and none on real data."""
    real = bench.samples(MEASURED)
    found = bench.domain.diagnose(real)
    if found:
        raise Breach(
            f"diagnose finds {found[0].name!r} in real data: {found[0].seen}",
            "raise its threshold above that",
        )
    for data in (noise(real.data), repeated(real.data), map_tree(torch.zeros_like, real.data)):
        for finding in bench.domain.diagnose(Samples(data, real.spec, real.condition)):
            texts = (finding.name, finding.seen, finding.remedy) if isinstance(finding, Finding) else ("",)
            if not all(isinstance(text, str) and text.strip() for text in texts):
                raise Breach(f"diagnose gives {finding!r}", "return Findings with name, seen and remedy")


def _with_and_without_condition(bench: DomainBench, n: int) -> list[Samples]:
    real = bench.samples(n)
    bare = Samples(real.data, real.spec)
    return [bare] if real.condition is None else [bare, real]
