"""Publishes the model of a run: half precision, samples, and a card with what was measured."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gancore.errors import CheckpointError, describe_error
from gancore.evaluation.report import card_fact, footnotes, format_number, main_result, summary
from gancore.evaluation.result import EvaluationResult, MetricResult
from gancore.files import Json, read_json_object, read_regular
from gancore.models.card import CardData, Publication, model_card
from gancore.models.card_text import read_card
from gancore.models.folder import PICTURE, read_model_folder, write_model_folder
from gancore.models.model import Model, load_model
from gancore.models.packaged import PUBLISHED
from gancore.models.tensors import to_half_precision
from gancore.run_folder import RunFolder

DEFAULT_REASON = "the first distance of the evaluation that is trusted and sees every control"
CARD_TEXTS = 8
"""Samples on the card of a domain of texts."""
CARD_WIDTH = 1000
"""Characters of a line of the summary on the card."""
PICTURE_SAMPLES = 16
MAX_PICTURE_BYTES = 1 << 20
"""A larger picture is made smaller."""
WEIGHTS_TEXT = {
    "float16": "float16, each rounded by at most 0.05 %",
    "bfloat16": "bfloat16, each rounded by at most 0.4 %",
}


def pack_model(source: Path, target: Path, dtype: str = "float16") -> None:
    """Write a model folder with its parameters in half precision, and the same card, to ``target``.

    Loading converts them back to the network's type: samples are a function of the seed as before, and differ
    from those of ``source`` as the weights do (:func:`gancore.models.tensors.to_half_precision`).

    Raises:
        CheckpointError: ``source`` is not a model folder, or ``target`` cannot be written.
    """
    model, files = load_model(source, "cpu"), read_model_folder(source)
    parameters = [name for name, _ in model.sampler.named_parameters(remove_duplicate=False)]
    tensors = to_half_precision(files.tensors, parameters, dtype)
    picture = source / PICTURE
    shown = read_regular(picture.resolve(), MAX_PICTURE_BYTES) if picture.is_file() else None
    write_model_folder(target, tensors, files.config, files.spec, read_card(source), shown)


def publish_model(
    run: Path,
    packed: Path,
    target: Path,
    evaluation: EvaluationResult,
    publication: Publication,
    licence: str,
    main: str | None = None,
    why: str = DEFAULT_REASON,
) -> None:
    """Write a packed model of a run with its card, its picture and its figures to ``target``.

    Args:
        run: the run folder.
        packed: its model folder in half precision (:func:`pack_model`), whose evaluation is given.
        target: the model folder that is written.
        evaluation: of ``packed``.
        publication: what the card says beside it; lines about the evaluation are added.
        licence: that of the weights, as SPDX writes it.
        main: the metric whose value is listed and by which the card opens; by default the main distance.
        why: why by this metric.

    Raises:
        CheckpointError: the evaluation is of other weights, or a folder cannot be read or written.
    """
    model, files = load_model(packed, "cpu"), read_model_folder(packed)
    if evaluation.metadata.get("model_hash") != files.weights_sha256:
        raise CheckpointError(f"the evaluation is not of {packed}", "evaluate it again")
    picture, result = draw_picture(model), main_result(evaluation, main)
    used = str(next(iter({str(tensor.dtype) for tensor in files.tensors.values()} & _HALF), "torch.float32"))
    dtype = used.removeprefix("torch.")
    publication = replace(
        publication,
        weights=WEIGHTS_TEXT.get(dtype, dtype),
        summary_lines=summary(evaluation, CARD_WIDTH, main)[:-1],  # the next step is for the trainer
        decision="" if result is None else describe_decision(result, why),
        notes=[line for line in footnotes(evaluation) if not line.startswith("left out: ")],
        has_picture=picture is not None,
    )
    facts: dict[str, Json] = {
        "summary": publication.summary,
        "licence": licence,
        "figure": "" if result is None else figure_text(result),
        "processor_seconds": publication.processor_seconds,
    }
    card = model_card(_card_data(RunFolder(run), model, evaluation, publication, licence))
    config = {**files.config, PUBLISHED: facts}
    write_model_folder(target, files.tensors, config, files.spec, card, picture)


_HALF = frozenset({"torch.float16", "torch.bfloat16"})


def describe_decision(result: MetricResult, why: str) -> str:
    """By which metric the model is judged, why, and to which controls it is as near as to real rows."""
    nearer = result.nearer_controls
    if nearer is None:
        found = "which has no controls"
    elif nearer:
        found = f"by which the model is as near to {' and '.join(nearer)} as to real rows"
    else:
        names = [name for name in ("noise", "collapse") if name in result.visible_controls]
        found = f"by which the model is nearer to real rows than to {' and '.join(names)}"
    return f"decided by {result.metric}, {found}: {why}"


def figure_text(result: MetricResult) -> str:
    """A value with its interval and its controls: ``frechet 58 (41 to 80; real 27, noise 1,399)``."""
    bounds = [] if result.low is None else [f"{format_number(result.low)} to {format_number(result.high)}"]
    shown = [name for name in ("real", "noise", "collapse") if name in result.anchors]
    controls = ", ".join(f"{name} {format_number(result.anchors[name])}" for name in shown)
    inside = "; ".join([*bounds, *([controls] if controls else [])])
    return f"{result.metric} {format_number(result.value)}" + (f" ({inside})" if inside else "")


def draw_picture(model: Model) -> bytes | None:
    """The first samples of seed 0 as a PNG, the domain's preview; None for texts, or without a preview."""
    if not model.sampler.can("sample"):
        return None
    samples = model.sample(min(PICTURE_SAMPLES, 2 * model.domain.report_sample_count(model.spec)))
    if model.domain.texts(samples) is not None:
        return None
    picture = model.domain.preview(samples)
    if picture is None:
        return None
    picture = picture.convert("RGB")
    while True:
        buffer = io.BytesIO()
        picture.quantize(128).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MAX_PICTURE_BYTES:
            return buffer.getvalue()
        picture = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)))


def _card_data(
    run: RunFolder, model: Model, evaluation: EvaluationResult, publication: Publication, licence: str
) -> CardData:
    """The facts of a finished run, as its card has them."""
    status, config = run.read_status(), model.config
    if status is None:
        raise CheckpointError(f"{run.path} is not a run", "give the run of the model")
    training = _mapping(config.get("training"))
    contract = read_json_object(run.data_file).get("contract")
    source = str(training.get("source", status.source))
    entry = model.domain.sources.get(source)
    return CardData(
        domain=model.domain.name,
        recipe=str(config["recipe"]),
        source=source,
        steps=int(training.get("step", status.step)),
        samples=int(training.get("samples", 0)),
        seconds=status.seconds,
        device=_device(status.environment),
        seed=int(training.get("seed", 0)),
        data=[str(line) for line in contract] if isinstance(contract, list) else [],
        data_licence=entry.licence if entry is not None else "",
        precision=str(training.get("precision", "")),
        parameters=model.sampler.num_parameters,
        licence=licence,
        plugins=dict(config["plugins"]),
        training_plugins=dict(_mapping(training.get("plugins"))),
        metrics=[card_fact(result) for result in evaluation if result.trusted and not result.skipped],
        limits=[f"At its last evaluation the model was {status.verdict}."] if status.verdict else [],
        conditional=model.sampler.conditional,
        is_classifier=not model.sampler.can("sample"),
        kind=model.kind,
        samples_as_text=_texts(model),
        publication=publication,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _device(environment: Mapping[str, str]) -> str:
    """Device and processor, with the number of threads."""
    device, processor = (environment.get(key, "") for key in ("device", "processor"))
    threads = environment.get("threads", "")
    parts = [device, processor if device == "cpu" else "", f"threads: {threads}" if threads else ""]
    return ", ".join(part for part in parts if part)


def _texts(model: Model) -> list[str]:
    """The first samples of seed 0, of a domain of texts."""
    if not model.sampler.can("sample"):
        return []
    try:
        return model.domain.text_lines(model.sample(CARD_TEXTS))
    except Exception as error:
        raise CheckpointError(f"the model makes no samples: {describe_error(error)}") from error
