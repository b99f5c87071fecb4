"""The model card: a README.md with the origin, the metrics and the limits of a model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

import yaml

from gancore.models.kind import kind_tag

ANCHORS = ("real", "noise", "collapse")
"""The controls of the table of measures."""
SAMPLES_PICTURE = "![samples](samples.png)"


@dataclass(frozen=True)
class CardMetric:
    """The value of a metric with its interval and reference; ``n`` is the number of samples.

    ``anchors``: the values of the controls ``real``, ``noise`` and ``collapse``. ``best``: low, high or a
    number.
    """

    name: str
    value: float
    unit: str = ""
    n: int | None = None
    split: str = ""
    interval: tuple[float, float] | None = None
    anchors: Mapping[str, float] = field(default_factory=dict)
    best: str = ""


@dataclass(frozen=True)
class Publication:
    """What the card of a published model has beside that of a run; empty fields are omitted.

    Attributes:
        name: what others load it by, such as ``tides/harbour``.
        summary: one line about it.
        notice: attribution, citation and terms of the data.
        reproduce: the commands that make it again.
        configuration: the YAML file that they name.
        commit: the commit of the program that trained it.
        processor_seconds: those of its training; None: not known.
        weights: how they are stored, such as ``float16``.
        summary_lines: :func:`gancore.evaluation.report.summary`, with the line about copies.
        notes: lines about the evaluation: its controls, its feature extractors.
        decision: by which metric it was decided to publish it, and why by this one.
        exception: why it is published although its main distance says that it should not.
        limits: further lines of its limits.
        has_picture: whether ``samples.png`` is beside the card.
    """

    name: str
    summary: str = ""
    notice: Sequence[str] = ()
    reproduce: Sequence[str] = ()
    configuration: str = ""
    commit: str = ""
    processor_seconds: float | None = None
    weights: str = ""
    summary_lines: Sequence[str] = ()
    notes: Sequence[str] = ()
    decision: str = ""
    exception: str = ""
    limits: Sequence[str] = ()
    has_picture: bool = False


@dataclass(frozen=True)
class CardData:
    """The content of a model card; empty fields are omitted.

    ``data``: the lines of the data contract. ``data_licence``: the licence as the owner of the data states
    it; ``licence``: that of the weights. ``parameters``: their number in the model folder. ``plugins``: those
    that the model needs; ``training_plugins``: those that only its training used; versions by distribution.
    ``is_classifier``: the model classifies and generates no samples. ``kind``: that of the model
    (:func:`gancore.models.kind.model_kind`), a tag of the hub. ``samples_as_text``: its first samples of seed
    0, if they are texts.
    """

    domain: str
    recipe: str
    source: str
    steps: int
    samples: int
    seconds: float
    device: str
    seed: int
    data: Sequence[str] = ()
    data_licence: str = ""
    precision: str = ""
    parameters: int | None = None
    licence: str = "other"
    plugins: Mapping[str, str] = field(default_factory=dict)
    training_plugins: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[CardMetric] = ()
    limits: Sequence[str] = ()
    conditional: bool = False
    is_classifier: bool = False
    kind: str = ""
    samples_as_text: Sequence[str] = ()
    publication: Publication | None = None


GENERATOR_USAGE = """
    ## Use

    {given}

    ```sh
    gancore generate {model} -n 16 --out samples --seed 0{label}
    ```

    ```python
    import gancore

    files = gancore.generate("{model}", n=16, out="samples", seed=0)
    for file in files:
        print(file)
    ```

    Nothing in this folder is executed: it holds weights (safetensors), JSON and this text.
"""
CLASSIFIER_USAGE = """
    ## Use

    The model classifies, and generates no samples. With the folder of this card as `MODEL`:

    ```python
    import gancore

    model = gancore.load("MODEL")
    classifier, classes = model.sampler, model.spec["classes"]
    # classifier.log_posteriors(data): log p(class | data), (n, classes); classifier.embed(data): its features
    ```

    Nothing in this folder is executed: it holds weights (safetensors), JSON and this text.
"""


def model_card(facts: CardData) -> str:
    """The text of README.md, with YAML front matter."""
    published = facts.publication
    sections = [
        _front_matter(facts),
        f"# {_escape_markdown(facts.recipe)} trained on {_escape_markdown(facts.source)}",
        "" if published is None else _introduction(published),
        _use(facts),
        _samples(facts),
        _metrics(facts.metrics),
        "" if published is None else _judgement(published),
        _limits(facts),
        _data(facts),
        _training(facts),
        "" if published is None else _reproduction(published),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _introduction(published: Publication) -> str:
    lines = [f"`{_single_line(published.name)}`: {_escape_markdown(published.summary)}"]
    if published.exception:
        lines.append(f"**Known fault:** {_escape_markdown(published.exception)}")
    return "\n\n".join(lines)


def _judgement(published: Publication) -> str:
    """What the measures say, in words, and on what they depend."""
    if not published.summary_lines:
        return ""
    texts = (published.decision, *published.summary_lines, *published.notes)
    lines = [f"- {_escape_markdown(text)}" for text in texts if text]
    return "\n".join(["## In words", "", *lines])


def _reproduction(published: Publication) -> str:
    if not published.reproduce:
        return ""
    origin = f" of commit `{_single_line(published.commit)}`" if published.commit else ""
    lines = ["## Make it again", "", f"With the repository{origin}:", ""]
    lines += [f"    {_single_line(command)}" for command in published.reproduce]
    if published.configuration:
        text = [f"    {line}".rstrip() for line in published.configuration.strip().splitlines()]
        lines += ["", "The configuration:", "", *text]
    return "\n".join(lines)


def _samples(facts: CardData) -> str:
    has_picture = facts.publication is not None and facts.publication.has_picture
    lines = [f"    {_single_line(text)}" for text in facts.samples_as_text]  # a code block: as they are
    if has_picture and not lines:
        lines = [SAMPLES_PICTURE]
    return "\n".join(["## Samples", "", "The first of seed 0, not selected:", "", *lines]) if lines else ""


def _use(facts: CardData) -> str:
    if facts.is_classifier:
        return dedent(CLASSIFIER_USAGE).strip()
    label = " --label LABEL" if facts.conditional else ""
    model, given = "MODEL", "With the folder of this card as `MODEL`:"
    if facts.publication is not None:
        model, given = _single_line(facts.publication.name), "By name, or with the folder of this card:"
    return dedent(GENERATOR_USAGE).strip().format(label=label, model=model, given=given)


def with_metrics(card: str, metrics: Sequence[CardMetric], tables: Sequence[str] = ()) -> str:
    """Replace the metrics of a card: the section, with ``tables`` in it, and those of the front matter.

    A card without such a section gets one at its end; front matter that is no YAML stays as it is.
    """
    card = _with_indexed_metrics(card, metrics)
    before, heading_found, rest = card.partition("\n## Measures\n")
    _, next_heading, after = rest.partition("\n## ") if heading_found else ("", "", "")
    section = "\n\n".join([_metrics(metrics), *tables])
    text = f"{before.rstrip()}\n\n{section}\n"
    return text + (f"\n## {after}" if next_heading else "")


def _front_matter(facts: CardData) -> str:
    """The metadata in the form of the hub: https://github.com/huggingface/hub-docs/blob/main/modelcard.md"""
    source = _single_line(facts.source)
    name = f"{facts.recipe} trained on {source}"
    kind = kind_tag(facts.kind, facts.is_classifier)
    content: dict[str, Any] = {
        "license": _single_line(facts.licence) or "other",
        "library_name": "gancore",
        "tags": list(dict.fromkeys(tag for tag in (kind, "gancore", facts.domain, facts.recipe) if tag)),
        "datasets": [source],
    }
    if facts.publication is not None:
        content["license"] = content["license"].lower()  # as the hub spells its identifiers
        name = _single_line(facts.publication.name)
    if results := _indexed_metrics(facts.metrics):
        content["model-index"] = [_index_entry(name, facts.domain, source, results)]
    return _front_matter_text(content)


def _front_matter_text(content: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)}---"


def _index_entry(name: str, domain: str, source: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    task = {"type": "generation", "name": f"generation ({domain})"}
    result = {"task": task, "dataset": {"type": source, "name": source}, "metrics": results}
    return {"name": name, "results": [result]}


def _indexed_metrics(metrics: Sequence[CardMetric]) -> list[dict[str, Any]]:
    return [
        {"type": metric.name, "name": metric.name, "value": float(f"{metric.value:.6g}")}
        for metric in metrics
        if math.isfinite(metric.value)
    ]


def _with_indexed_metrics(card: str, metrics: Sequence[CardMetric]) -> str:
    """The card with these results in ``model-index`` of a front matter that :func:`_front_matter` wrote."""
    head, end, body = card.removeprefix("---\n").partition("\n---\n")
    if not (card.startswith("---\n") and end):
        return card
    try:
        content = yaml.safe_load(head)
        domain = content["tags"][content["tags"].index("gancore") + 1]
        source = str(content["datasets"][0])
        title = next(line for line in body.splitlines() if line.startswith("# ")).removeprefix("# ")
        index = content.get("model-index")
        name = str(index[0]["name"]) if index else re.sub(r"\\(.)", r"\1", title)
    except (yaml.YAMLError, AttributeError, KeyError, IndexError, TypeError, ValueError, StopIteration):
        return card  # of another program, or of an older version
    content.pop("model-index", None)
    if results := _indexed_metrics(metrics):
        content["model-index"] = [_index_entry(name, domain, source, results)]
    return f"{_front_matter_text(content)}\n{body}"


def _data(facts: CardData) -> str:
    licence = _escape_markdown(facts.data_licence) or "not stated; ask the owner of the data before sharing"
    source = _single_line(facts.source).replace("`", "'")
    lines = ["## Data", "", f"Source: `{source}`. Licence of the data: {licence}."]
    if facts.publication is not None:
        lines += ["", *(f"{_escape_markdown(text)}" for text in facts.publication.notice)]
    if facts.data:
        # In a code block, characters of Markdown in file names have no effect.
        lines += ["", *(f"    {_single_line(text)}" for text in facts.data)]
    return "\n".join(lines)


def _training(facts: CardData) -> str:
    published = facts.publication
    cost = published.processor_seconds if published is not None else None
    rows = {
        "domain, recipe": f"{facts.domain}, {facts.recipe}",
        "budget": f"{facts.steps:,} steps, {facts.samples:,} samples, {facts.seconds:,.0f} s",
        "processor time": "" if cost is None else f"{cost:,.0f} s",
        "weights": "" if published is None else published.weights,
        "device": f"{facts.device}, {facts.precision}" if facts.precision else facts.device,
        "seed": str(facts.seed),
        "parameters": f"{facts.parameters:,}" if facts.parameters is not None else "",
        "needs": _versions(facts.plugins),
        "only trained with": _versions(facts.training_plugins),
    }
    lines = [f"- {name}: {_escape_markdown(text)}" for name, text in rows.items() if text]
    return "\n".join(["## Training", "", *lines])


def _versions(plugins: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(plugins.items()))


def _metrics(metrics: Sequence[CardMetric]) -> str:
    if not metrics:
        return "## Measures\n\nNot measured."
    controls = [name for name in ANCHORS if any(name in metric.anchors for metric in metrics)]
    best = ["best"] if any(metric.best for metric in metrics) else []
    head = ["measure", "value", "95 % interval", *controls, *best]
    lines = ["## Measures", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(
        [
            *lines,
            *(_metric_row(metric, controls, bool(best)) for metric in metrics),
            "",
            *_references(metrics),
        ]
    )


def _metric_row(metric: CardMetric, controls: Sequence[str], has_best: bool) -> str:
    cells = [
        f"{metric.name} ({metric.unit})" if metric.unit else metric.name,
        f"{metric.value:.4g}",
        f"{metric.interval[0]:.4g} to {metric.interval[1]:.4g}" if metric.interval else "not known",
        *(f"{metric.anchors[name]:.4g}" if name in metric.anchors else "" for name in controls),
        *([metric.best] if has_best else []),
    ]
    return f"| {' | '.join(_escape_markdown(cell).replace('|', '/') for cell in cells)} |"


def _references(metrics: Sequence[CardMetric]) -> list[str]:
    """On what each value is computed, a line for those with the same samples and reference."""
    groups: dict[tuple[int | None, str], list[str]] = {}
    for metric in metrics:
        groups.setdefault((metric.n, metric.split), []).append(metric.name)
    lines = []
    for (n, reference), names in groups.items():
        count = "a number of samples that is not known" if n is None else f"{n:,} samples"
        which = "all" if len(groups) == 1 else ", ".join(names)
        lines.append(f"{which}: {count} and {reference or 'a reference that is not known'}")
    return [f"- {_escape_markdown(line).replace('|', '/')}" for line in lines]


def _limits(facts: CardData) -> str:
    published = facts.publication
    copies = "this was not excluded."
    if published is not None and published.summary_lines:
        copies = "the line `copies` above says what was found."
    general = (
        ["It assigns one of the classes of its training data to every input, also to inputs of no class."]
        if facts.is_classifier
        else [
            "Its samples resemble its training data, including their gaps and errors.",
            f"Its samples may be close copies of training examples; {copies}",
        ]
    )
    if facts.licence == "other":
        general.append("The licence of the weights is not stated: it depends on the rights in the data.")
    own = [*facts.limits, *(published.limits if published is not None else ())]
    return "\n".join(["## Limits", "", *(f"- {_escape_markdown(text)}" for text in [*own, *general])])


def _single_line(text: str) -> str:
    return " ".join(text.split())


def _escape_markdown(text: str) -> str:
    """The text in one line, with the characters of HTML, links and emphasis escaped."""
    return re.sub(r"([\\`*\[\]<&])", r"\\\1", _single_line(text))
