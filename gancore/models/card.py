"""The model card: a README.md with the origin, the metrics and the limits of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import dedent

import yaml


@dataclass(frozen=True)
class CardMetric:
    """The value of a metric with its interval and reference; ``n`` is the number of samples."""

    name: str
    value: float
    unit: str = ""
    n: int | None = None
    split: str = ""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class CardData:
    """The content of a model card; empty fields are omitted.

    ``data``: the lines of the data contract. ``data_licence``: the licence as the owner of the data states
    it; ``licence``: that of the weights. ``parameters``: their number in the model folder. ``plugins``: those
    that the model needs; ``training_plugins``: those that only its training used; versions by distribution.
    ``is_classifier``: the model classifies and generates no samples. ``samples_as_text``: its first samples
    of seed 0, if they are texts.
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
    samples_as_text: Sequence[str] = ()


GENERATOR_USAGE = """
    ## Use

    With the folder of this card as `MODEL`:

    ```sh
    gancore generate MODEL -n 16 --out samples --seed 0{label}
    ```

    ```python
    import gancore

    files = gancore.generate("MODEL", n=16, out="samples", seed=0)
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
    sections = [
        _front_matter(facts),
        f"# {_escape_markdown(facts.recipe)} trained on {_escape_markdown(facts.source)}",
        _data(facts),
        _training(facts),
        _metrics(facts.metrics),
        _samples(facts),
        _use(facts),
        _limits(facts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _samples(facts: CardData) -> str:
    if not facts.samples_as_text:
        return ""
    lines = [f"    {_single_line(text)}" for text in facts.samples_as_text]  # a code block: as they are
    return "\n".join(["## Samples", "", "The first of seed 0, not selected:", "", *lines])


def _use(facts: CardData) -> str:
    if facts.is_classifier:
        return dedent(CLASSIFIER_USAGE).strip()
    return dedent(GENERATOR_USAGE).strip().format(label=" --label LABEL" if facts.conditional else "")


def with_metrics(card: str, metrics: Sequence[CardMetric]) -> str:
    """Replace the section of metrics of a card; append it to a card that has none."""
    before, heading_found, rest = card.partition("\n## Measures\n")
    _, next_heading, after = rest.partition("\n## ") if heading_found else ("", "", "")
    text = f"{before.rstrip()}\n\n{_metrics(metrics)}\n"
    return text + (f"\n## {after}" if next_heading else "")


def _front_matter(facts: CardData) -> str:
    content = {
        "license": _single_line(facts.licence) or "other",
        "library_name": "gancore",
        "tags": ["gan", "gancore", facts.domain, facts.recipe],
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---"


def _data(facts: CardData) -> str:
    licence = _escape_markdown(facts.data_licence) or "not stated; ask the owner of the data before sharing"
    source = _single_line(facts.source).replace("`", "'")
    lines = ["## Data", "", f"Source: `{source}`. Licence of the data: {licence}."]
    if facts.data:
        # In a code block, characters of Markdown in file names have no effect.
        lines += ["", *(f"    {_single_line(text)}" for text in facts.data)]
    return "\n".join(lines)


def _training(facts: CardData) -> str:
    rows = {
        "domain, recipe": f"{facts.domain}, {facts.recipe}",
        "budget": f"{facts.steps:,} steps, {facts.samples:,} samples, {facts.seconds:,.0f} s",
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
    head = ["## Measures", "", "| measure | value | interval | n | reference |", "|---|---|---|---|---|"]
    return "\n".join(head + [_metric_row(metric) for metric in metrics])


def _metric_row(metric: CardMetric) -> str:
    interval = f"{metric.interval[0]:.4g} to {metric.interval[1]:.4g}" if metric.interval else "not known"
    cells = [
        metric.name,
        f"{metric.value:.4g} {metric.unit}".strip(),
        interval,
        f"{metric.n:,}" if metric.n is not None else "not known",
        metric.split or "not known",
    ]
    return f"| {' | '.join(_escape_markdown(cell).replace('|', '/') for cell in cells)} |"


def _limits(facts: CardData) -> str:
    general = (
        ["It assigns one of the classes of its training data to every input, also to inputs of no class."]
        if facts.is_classifier
        else [
            "Its samples resemble its training data, including their gaps and errors.",
            "Its samples may be close copies of training examples; this was not excluded.",
        ]
    )
    if facts.licence == "other":
        general.append("The licence of the weights is not stated: it depends on the rights in the data.")
    return "\n".join(
        ["## Limits", "", *(f"- {_escape_markdown(text)}" for text in [*facts.limits, *general])]
    )


def _single_line(text: str) -> str:
    return " ".join(text.split())


def _escape_markdown(text: str) -> str:
    """The text in one line, with the characters of HTML, links and emphasis escaped."""
    return re.sub(r"([\\`*\[\]<&])", r"\\\1", _single_line(text))
