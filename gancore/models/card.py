"""The model card: a README.md that says where a model comes from and what it cannot do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import dedent

import yaml


@dataclass(frozen=True)
class MeasuredFact:
    """A measured value with what it needs to be believed. ``n`` counts the samples it saw."""

    name: str
    value: float
    unit: str = ""
    n: int | None = None
    split: str = ""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ModelFacts:
    """What a card says; nothing is made up, and what is left empty is left out.

    ``data`` holds the lines of the data contract, ``data_licence`` the licence as its owner states it,
    ``licence`` that of the weights. ``parameters`` counts those of the model folder. ``plugins``: that it
    needs; ``only_trained_with``: that only its training used; versions by distribution. ``judges``: the model
    tells classes apart and makes no samples.
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
    only_trained_with: Mapping[str, str] = field(default_factory=dict)
    measures: Sequence[MeasuredFact] = ()
    limits: Sequence[str] = ()
    conditional: bool = False
    judges: bool = False


USE = """
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
JUDGE_USE = """
    ## Use

    It tells classes apart, and makes no samples. With the folder of this card as `MODEL`:

    ```python
    import gancore

    judge, classes = gancore.load("MODEL").sampler, gancore.load("MODEL").spec["classes"]
    # judge.log_posteriors(data): log p(class | data), (n, classes); judge.embed(data): its features
    ```

    Nothing in this folder is executed: it holds weights (safetensors), JSON and this text.
"""


def model_card(facts: ModelFacts) -> str:
    """The text of README.md, with YAML front matter."""
    sections = [
        _front_matter(facts),
        f"# {_plain(facts.recipe)} trained on {_plain(facts.source)}",
        _data(facts),
        _training(facts),
        _measures(facts.measures),
        _use(facts),
        _limits(facts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _use(facts: ModelFacts) -> str:
    if facts.judges:
        return dedent(JUDGE_USE).strip()
    return dedent(USE).strip().format(label=" --label LABEL" if facts.conditional else "")


def with_measures(card: str, measures: Sequence[MeasuredFact]) -> str:
    """The card with these measures in the place of those that it tells; at its end, where it tells none."""
    before, told, rest = card.partition("\n## Measures\n")
    _, heading, after = rest.partition("\n## ") if told else ("", "", "")
    return f"{before.rstrip()}\n\n{_measures(measures)}\n" + (f"\n## {after}" if heading else "")


def _front_matter(facts: ModelFacts) -> str:
    content = {
        "license": _line(facts.licence) or "other",
        "library_name": "gancore",
        "tags": ["gan", "gancore", facts.domain, facts.recipe],
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---"


def _data(facts: ModelFacts) -> str:
    licence = _plain(facts.data_licence) or "not stated; ask the owner of the data before sharing"
    lines = ["## Data", "", f"Source: `{_code(facts.source)}`. Licence of the data: {licence}."]
    if facts.data:
        # A code block: names of files are shown as they are, whatever they contain.
        lines += ["", *(f"    {_line(text)}" for text in facts.data)]
    return "\n".join(lines)


def _training(facts: ModelFacts) -> str:
    rows = {
        "domain, recipe": f"{facts.domain}, {facts.recipe}",
        "budget": f"{facts.steps:,} steps, {facts.samples:,} samples, {facts.seconds:,.0f} s",
        "device": f"{facts.device}, {facts.precision}" if facts.precision else facts.device,
        "seed": str(facts.seed),
        "parameters": f"{facts.parameters:,}" if facts.parameters is not None else "",
        "needs": _versions(facts.plugins),
        "only trained with": _versions(facts.only_trained_with),
    }
    lines = [f"- {name}: {_plain(text)}" for name, text in rows.items() if text]
    return "\n".join(["## Training", "", *lines])


def _versions(plugins: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(plugins.items()))


def _measures(measures: Sequence[MeasuredFact]) -> str:
    if not measures:
        return "## Measures\n\nNone was taken."
    head = ["## Measures", "", "| measure | value | interval | n | reference |", "|---|---|---|---|---|"]
    return "\n".join(head + [_measure_row(measure) for measure in measures])


def _measure_row(measure: MeasuredFact) -> str:
    interval = f"{measure.interval[0]:.4g} to {measure.interval[1]:.4g}" if measure.interval else "not known"
    cells = [
        measure.name,
        f"{measure.value:.4g} {measure.unit}".strip(),
        interval,
        f"{measure.n:,}" if measure.n is not None else "not known",
        measure.split or "not known",
    ]
    return f"| {' | '.join(_plain(cell).replace('|', '/') for cell in cells)} |"


def _limits(facts: ModelFacts) -> str:
    general = (
        ["It knows the classes of its training data alone, and names one of them for whatever it is shown."]
        if facts.judges
        else [
            "It can only resemble its training data, their gaps and their faults included.",
            "Its samples may come close to single training examples; that was not ruled out.",
        ]
    )
    if facts.licence == "other":
        general.append("The licence of the weights is not settled: it depends on the rights in the data.")
    return "\n".join(["## Limits", "", *(f"- {_plain(text)}" for text in [*facts.limits, *general])])


def _line(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    """One line as Markdown shows it, whatever it holds: no HTML, no links, no emphasis."""
    return re.sub(r"([\\`*\[\]<&])", r"\\\1", _line(text))


def _code(text: str) -> str:
    return _line(text).replace("`", "'")
