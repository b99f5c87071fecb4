"""What lies in the folder of each training, as facts for the report; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gancore.comparison.folder import ComparisonFolder, Entrant, read_json
from gancore.errors import CheckpointError
from gancore.evaluation.reading import Evaluation
from gancore.files import LARGEST_LISTING_BYTES
from gancore.training.tracking import read_metrics

ON_VALID = "valid/"


def facts(folder: ComparisonFolder, entrant: Entrant) -> dict[str, Any]:
    """Where a training stands, what it took, what it was told, and its curves on valid."""
    run = folder.run(entrant)
    status = run.read_status()
    model = read_json(run.model / "config.json") if run.model.is_dir() else {}
    trained = _object(model, "training")
    failure = read_json(folder.failure(entrant))
    a_round = _samples_a_round(trained, entrant)
    done = folder.is_finished(entrant, "train")
    return {
        "who": str(entrant),
        "name": entrant.name,
        "recipe": entrant.recipe,
        "seed": entrant.seed,
        "state": "failed" if failure else "done" if done else status.status if status else "not begun",
        "failure": failure,
        "weights": folder.weights(entrant),
        "steps": status.step if status else 0,
        "planned_steps": status.total if status else None,
        "samples": round(status.step * a_round) if status else 0,
        "seconds": status.seconds if status else 0.0,
        "chosen_step": trained.get("step"),
        "precision": trained.get("precision", ""),
        "plugins": _object(model, "plugins"),
        "machine": read_json(folder.training(entrant)).get("machine", ""),
        "fingerprint": read_json(run.data_file, LARGEST_LISTING_BYTES).get("fingerprint", ""),
        "config": entrant.config.model_dump(mode="json"),
        "curves": curves(read_metrics(run.metrics_file), a_round),
    }


def _samples_a_round(training: Mapping[str, Any], entrant: Entrant) -> float:
    """As the model tells: a fitted one looks at all rows in each round. Without a model, a batch."""
    step, samples = training.get("step"), training.get("samples")
    if isinstance(step, int) and isinstance(samples, int) and step > 0:
        return samples / step
    return float(entrant.config.model.batch_size)


def _object(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object of that name; empty where there is none."""
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def curves(lines: Sequence[Mapping[str, Any]], a_round: float) -> dict[str, list[dict[str, float]]]:
    """Each measure taken on valid: its value by step, samples seen and seconds of training."""
    clock = [(line["step"], line["seconds"]) for line in lines if "seconds" in line]
    found: dict[str, list[dict[str, float]]] = {}
    for line in lines:
        for name, value in line.items():
            if name.startswith(ON_VALID) and isinstance(value, (int, float)) and math.isfinite(value):
                samples = round(line["step"] * a_round)
                point = {"step": line["step"], "samples": samples, "value": float(value)}
                point["seconds"] = at_step(clock, line["step"])
                found.setdefault(name.removeprefix(ON_VALID), []).append(point)
    return found


def at_step(clock: Sequence[tuple[int, float]], step: int) -> float:
    """Seconds of training at a step, on the line between those that were logged."""
    before, known = (0, 0.0), [(0, 0.0), *clock]
    for then in known:
        if then[0] >= step:
            width = then[0] - before[0]
            return before[1] + (then[1] - before[1]) * ((step - before[0]) / width if width else 1.0)
        before = then
    return before[1]


def evaluations(folder: ComparisonFolder, everyone: Sequence[Entrant]) -> dict[str, dict[int, Evaluation]]:
    """Those that were made of the models that lie here, by name and seed."""
    found: dict[str, dict[int, Evaluation]] = {}
    for entrant in everyone:
        if folder.is_finished(entrant, "evaluate"):
            try:
                read = Evaluation.read(folder.evaluation(entrant))
            except CheckpointError:
                continue
            found.setdefault(entrant.name, {})[entrant.seed] = read
    return found


def costs(folder: ComparisonFolder, everyone: Sequence[Entrant]) -> dict[str, dict[int, dict[str, Any]]]:
    """What trade-offs were measured, by name and seed."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for entrant in everyone:
        if folder.is_finished(entrant, "time"):
            found.setdefault(entrant.name, {})[entrant.seed] = read_json(folder.tradeoffs(entrant))
    return found
