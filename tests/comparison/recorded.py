"""A comparison folder as it lies when all is done, with readings that the test makes up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gancore.comparison.config import ComparisonConfig, Trial, make_trials
from gancore.comparison.folder import ComparisonFolder, write_json
from gancore.comparison.gallery import write_gallery
from gancore.comparison.report import write_report
from gancore.config import config_hash
from gancore.config_yaml import to_yaml
from gancore.domain import Domain
from gancore.evaluation.result import EvaluationResult, MetricResult
from gancore.run_folder import RunStatus
from gancore.samples import Samples

ANCHORS = {"real": 0.1, "noise": 1.0, "collapse": 0.9}
Bounds = tuple[float, float, float]
"""Value, low, high."""


def reading(measure: str, bounds: Bounds | None, **facts: Any) -> MetricResult:
    """As many samples as anchors have rows, and an interval of 0.01 to either side of real rows."""
    value, low, high = bounds or (None, None, None)
    real = facts.get("anchors", ANCHORS).get("real")
    defaults = {
        "matched": value,
        "matched_low": low,
        "matched_high": high,
        "n_anchors": 2000,
        "real_low": real and real - 0.01,
        "real_high": real and real + 0.01,
        "unit": "nats",
        "higher_is_better": False,
        "n": 2000,
        "n_real": 1000,
        "anchors": ANCHORS,
        "method": "jackknife over 20 blocks",
        "features": "made-up",
        "features_hash": "0123456789abcdef",
        "source": "ring",
        "split": "test",
    }
    if bounds is None:
        defaults["skipped"] = "this model has no likelihood"
    return MetricResult(measure, value, low, high, **(defaults | facts))


def evaluations(
    values: Mapping[str, Mapping[str, Sequence[Bounds | None]]], **facts: Mapping[str, Any]
) -> dict[str, dict[int, EvaluationResult]]:
    """``values[measure][name]``: the bounds of each seed; ``facts[measure]`` are those of its readings."""
    names = list(next(iter(values.values())))
    found: dict[str, dict[int, EvaluationResult]] = {}
    for name in names:
        for seed in range(len(next(iter(values.values()))[name])):
            read = [reading(m, by[name][seed], **facts.get(m, {})) for m, by in values.items()]
            found.setdefault(name, {})[seed] = EvaluationResult(f"{name}-seed{seed}", read, {"seed": 0})
    return found


@dataclass
class Recorded:
    """Writes what trainings, evaluations and timings would have left."""

    folder: ComparisonFolder
    config: ComparisonConfig
    domain: Domain
    trials: list[Trial] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.create()
        self.folder.config_file.write_text(to_yaml(self.config))
        self.trials = make_trials(self.config)

    @classmethod
    def of(cls, path: Path, domain: Domain, recipes: Mapping[str, str], **config: Any) -> Recorded:
        values = {
            "domain": domain.name,
            "data": None,
            "recipes": dict(recipes),
            "time": "10m",
            "seeds": 1,
            "overrides": [],
            "select": None,
            "n": 2000,
            "metrics": None,
            "feature_extractor": None,
            "evaluation_seed": 0,
            "device": "cpu",
        }
        return cls(ComparisonFolder(path), ComparisonConfig.make(**(values | config)), domain)

    def about(self, samples: Samples, select: str = "") -> None:
        write_json(
            self.folder.environment_file,
            {
                "data": {
                    "source": "made-up",
                    "licence": "CC0-1.0",
                    "fingerprint": "f" * 32,
                    "contract": ["rows: <made> & up"],
                    "rows": {"train": 1000, "valid": 100, "test": 100},
                    "splits_sha256": "0" * 64,
                    "classes": [],
                },
                "select": select,
                "on_valid": {select: {"higher_is_better": False, "unit": "nats"}} if select else {},
                "shown": len(samples),
                "machine": "CPU, 2 threads",
                "versions": {"gancore": "0.1.0"},
            },
        )
        write_gallery(self.folder.samples("real"), self.domain, samples, 0, "f" * 32)

    def weights(self, trial: Trial) -> str:
        return hashlib.sha256(str(trial).encode()).hexdigest()

    def training(self, trial: Trial, curve: Sequence[float] = (), steps: int = 1000) -> None:
        run = self.folder.run_folder(trial)
        run.model.mkdir(parents=True)
        run.config_file.write_text(to_yaml(trial.config))
        facts = {
            "files": {"model.safetensors": self.weights(trial)},
            "training": {"step": steps, "precision": "fp32"},
            "plugins": {},
        }
        (run.model / "config.json").write_text(json.dumps(facts))
        lines: list[dict[str, Any]] = []
        for number, value in enumerate(curve, start=1):
            step = steps * number // len(curve)
            lines += [{"step": step, "seconds": 0.6 * step}, {"step": step, "valid/density_error": value}]
        run.metrics_file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        run.data_file.write_text(json.dumps({"fingerprint": "f" * 32}))
        run.write_status(
            RunStatus(
                "done",
                domain=self.config.domain,
                recipe=trial.recipe,
                step=steps,
                total=steps,
                seconds=0.6 * steps,
                config_hash=config_hash(trial.config),
            )
        )
        write_json(self.folder.machine_file(trial), {"machine": "CPU, 2 threads"})

    def evaluation(self, trial: Trial, readings: Sequence[MetricResult]) -> None:
        about = {"model_hash": self.weights(trial), "features": "made-up"}
        EvaluationResult(str(trial), readings, about).write(self.folder.evaluation_file(trial))

    def samples(self, trial: Trial, samples: Samples) -> None:
        write_gallery(self.folder.samples(trial), self.domain, samples, 0, self.weights(trial))

    def tradeoffs(self, trial: Trial, **changes: Any) -> None:
        content = {
            "weights": self.weights(trial),
            "machine": "CPU, 2 threads",
            "parameters": 33_900,
            "players": {"discriminator": 33_500, "generator": 33_900},
            "likelihood": {"kind": "none"},
            "inversion": {"kind": "none"},
            "seconds_a_sample": {
                "1": {"seconds": 2e-3, "calls": 7, "batch": 1},
                "256": {"seconds": 3e-5, "calls": 7, "batch": 256},
            },
            "growth": {
                "points": [
                    {"factor": f, "seconds": 1e-3 * f, "calls": 7, "operations": 40} for f in (0.5, 1)
                ],
                "note": "",
                "seconds_exponent": 0.87,
                "operations_exponent": 0.0,
            },
        }
        write_json(self.folder.tradeoffs_file(trial), content | changes)

    def report(self) -> dict[str, Any]:
        return write_report(self.folder, self.config, self.trials)
