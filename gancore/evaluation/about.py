"""What an evaluation says of itself, so that others can believe it, and make it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

import gancore
from gancore.evaluation.anchors import REPEATED
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.features import Features
from gancore.evaluation.intervals import clopper_pearson
from gancore.evaluation.rows import RealRows
from gancore.evaluation.taking import Taker
from gancore.models.model import Model
from gancore.plugins import plugins
from gancore.records import MeasureEntry

if TYPE_CHECKING:
    from gancore.evaluation.reference import Reference
    from gancore.evaluation.runner import Question

INDEPENDENT = "left out: neighbours cannot tell it from real rows, as where all coordinates are independent"


def describe(
    question: Question,
    model: Model,
    reference: Reference,
    rows: RealRows,
    taker: Taker,
    entries: Sequence[MeasureEntry],
) -> dict[str, Any]:
    """JSON values; nothing of the moment or of the machine's folders, so that equal evaluations are equal."""
    maps = taker.maps
    return {
        "domain": model.domain.name,
        "recipe": model.config["recipe"],
        "model_hash": model.digest,
        "source": reference.source.name,
        "fingerprint": reference.data.fingerprint,
        "split": question.split,
        "seed": question.seed,
        "n": len(taker.evidence.fake),
        "n_real": len(rows.real),
        "n_train": len(rows.train),
        "train_size": taker.evidence.train_size,
        "device": model.device.type,
        "features": _features(maps.features),
        "classifier": _classifier(taker),
        "anchors": _anchors(rows, taker),
        "note": reference.note,
        "versions": _versions(model, entries),
    }


def _features(features: Features | None) -> dict[str, str] | None:
    """Name and hash, and what the Frechet distance on them is called."""
    if features is None:
        return None
    told = {"name": features.name, "hash": features.digest}
    return {**told, "frechet": features.frechet} if features.frechet else told


def _classifier(taker: Taker) -> dict[str, Any] | None:
    """Name and hash, and how many of the reference rows it calls by their label."""
    features = taker.maps.classifier
    if features is None:
        return None
    told: dict[str, Any] = {"name": features.name, "hash": features.digest}
    accuracy = accuracy_of(features, taker.evidence)
    return {**told, "classes": list(features.classes), "accuracy": accuracy} if accuracy else told


def accuracy_of(classifier: Features, evidence: Evidence) -> dict[str, Any] | None:
    """On the reference rows, with its interval; None where they have no labels of its classes."""
    real, names = evidence.real, list(evidence.spec.get("classes") or [])
    labels = real.condition
    if not names or real.log_posteriors is None or not isinstance(labels, torch.Tensor) or labels.dim() != 1:
        return None
    called = [classifier.classes[column] for column in real.log_posteriors.argmax(1).tolist()]
    right = sum(name == names[label] for name, label in zip(called, labels.tolist(), strict=True))
    low, high, method = clopper_pearson(right, len(called))
    return {"value": right / len(called), "low": low, "high": high, "method": method, "n": len(called)}


def _anchors(rows: RealRows, taker: Taker) -> dict[str, Any]:
    n = len(rows.held_out) if rows.held_out else 0
    independent = taker.anchors is not None and not taker.anchors.noise_is_bad
    homes = ", ".join(f"{count:,} of {split}" for split, count in rows.origin.items())
    return {
        "n": n,
        "real": f"held-out real rows: {homes or 'there are none'}",
        "noise": INDEPENDENT
        if independent
        else "the same rows, each coordinate permuted over them on its own",
        "collapse": f"{REPEATED:.0%} of the same rows, over and over",
    }


def _versions(model: Model, entries: Sequence[MeasureEntry]) -> dict[str, str]:
    """Of gancore, torch, and the plugins whose data, recipe or measures these are."""
    versions = {"gancore": gancore.__version__, "torch": torch.__version__}
    for entry in entries:
        plugin = plugins().origin(entry)
        if plugin is not None and plugin.distribution:
            versions[plugin.distribution] = plugin.version
    return {**versions, **model.config["plugins"]}
