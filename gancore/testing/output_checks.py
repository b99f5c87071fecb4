"""Checks of what people get to see: files, pictures, measures, diagnoses."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gancore.domain import Finding, Samples
from gancore.evaluation.anchors import is_bad, noise
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.measure import Measure
from gancore.plugins import plugins
from gancore.runtime.randomness import Key
from gancore.testing.bench import DomainBench
from gancore.testing.check import Breach, NotApplicable
from gancore.trees import Tree, cut_rows, map_tree

MEASURED = 64
"""Rows that a measure is shown, where there are so many."""


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
    for data in (_noise(real.data), _repeated(real.data), map_tree(torch.zeros_like, real.data)):
        for finding in bench.domain.diagnose(Samples(data, real.spec, real.condition)):
            texts = (finding.name, finding.seen, finding.remedy) if isinstance(finding, Finding) else ("",)
            if not all(isinstance(text, str) and text.strip() for text in texts):
                raise Breach(f"diagnose gives {finding!r}", "return Findings with name, seen and remedy")


def measures_order(bench: DomainBench) -> None:
    """Every measure finds real data better than noise, or at least no worse, and than one sample repeated.

    Of the default set; what it is blind to by its own word is left out, and one without a better end.
    """
    measures = dict(_measures(bench))
    if not measures:
        raise NotApplicable("the domain has no measures for its tiny data")
    real, reference = bench.samples(MEASURED, "test"), bench.samples(MEASURED, "valid").data
    tells = is_bad(real.data)  # of independent coordinates noise is as good as real data
    for name, measure in measures.items():
        values = {
            kind: _value(measure, data, reference, real)
            for kind, data in (
                ("real data", real.data),
                ("noise", _noise(real.data)),
                ("one sample, repeated,", _repeated(real.data)),
            )
        }
        own, shuffled, repeated = values.values()
        if not math.isfinite(own):
            raise Breach(f"{name} of real data is {own}", "let it be finite for real data")
        if own != _value(measure, real.data, reference, real):
            raise Breach(f"{name} of the same samples is another each time", "draw from a key of its own")
        noises = (shuffled,) if tells else (shuffled, own)
        if not any(_orders(measure, own, each, repeated) for each in noises):
            raise Breach(
                f"{name} does not order real above noise: real data {own:.4g}, noise {shuffled:.4g}, "
                f"one sample repeated {repeated:.4g}, and better is {measure.better!r}",
                "mend the measure, or the better and the blind that it declares",
            )


def _orders(measure: Measure, real: float, noise: float, repeated: float) -> bool:
    """What cannot tell noise from real data shall tell one sample repeated, unless it is blind to that."""
    if measure.better is None or {"noise", "collapse"} <= measure.blind:
        return True
    sign = -1 if measure.better == "higher" else 1
    below, alone = (math.isnan(bad) or sign * bad > sign * real for bad in (noise, repeated))
    return below or (
        (real == noise or "noise" in measure.blind) and alone and "collapse" not in measure.blind
    )


def _measures(bench: DomainBench) -> Iterator[tuple[str, Measure]]:
    for name, entry in bench.domain.measures_of(bench.data.spec).items():
        measure = plugins().resolve(entry)
        if measure.quick and not measure.needs:
            yield name, measure


def _value(measure: Measure, data: Tree, reference: Tree, like: Samples) -> float:
    return float(measure.compute(Evidence.of(data, reference, like.spec)))


def _with_and_without_condition(bench: DomainBench, n: int) -> list[Samples]:
    real = bench.samples(n)
    bare = Samples(real.data, real.spec)
    return [bare] if real.condition is None else [bare, real]


def _noise(data: Tree) -> Tree:
    """As the evaluator's: each coordinate permuted over the rows, so that it keeps the values that it has."""
    return noise(data, Key.of("kit", "noise"))


def _repeated(data: Tree) -> Tree:
    return map_tree(lambda leaf: cut_rows(leaf, 0, 1).expand_as(leaf).clone(), data)
