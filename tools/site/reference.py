"""Writes docs/reference/: tables of recipes, keys, methods, measures, data, experiments and commands.

    python tools/site/reference.py          writes the pages
    python tools/site/reference.py --check  exits with 1 if one is not current

All of it is read from the registries, as plugins fill them, and from the commands as they parse options.
``make reference`` runs it with the plugins of this repository alone. A test compares.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reference_commands import commands
from reference_tables import code, first_line, table, value_text

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/reference"
FEW = 8
"""Recipes that a table names; more are counted."""
REMEDIES = (
    "penalty_weight",
    "penalty_every",
    "ema_halflife",
    "augmentation",
    "pack",
    "discriminator_steps",
    "discriminator_lr",
    "discriminator_dropout",
    "discriminator_l2",
    "input_noise",
    "phase_shuffle",
    "clip_grad_norm",
    "lr_warmup",
    "lr_end",
    "pretraining",
    "baseline",
)
NOTE = "<!-- Written by `make reference` from the registries: change the code, not this page. -->"


def pages() -> dict[str, str]:
    """Every page by its name."""
    made = {
        "recipes.md": recipes(),
        "methods.md": methods(),
        "measures.md": measures(),
        "data.md": data(),
        "lab.md": experiments(),
        "commands.md": commands(),
        **{f"keys-{name}.md": keys(name) for name in domain_names()},
    }
    return {name: f"{NOTE}\n\n{text.strip()}\n" for name, text in made.items()}


def domain_names() -> list[str]:
    from gancore.plugins import plugins

    return sorted(entry.name for entry in plugins().entries("gancore_domains"))


# Recipes, and the keys of each.


def recipes() -> str:
    """All recipes by domain."""
    from gancore import list_recipes

    parts = [
        "# Recipes",
        "Every recipe of every domain, as `gancore recipes` lists them: what it is, and what its model can "
        "do. The default of a domain stands first. `gancore recipes NAME` prints the keys of one; all keys "
        "of a domain are on its page.",
    ]
    for domain in domain_names():
        rows = [(code(each.name), each.summary, ", ".join(each.provides)) for each in list_recipes(domain)]
        parts += [
            f"## {domain}",
            table(["recipe", "what it is", "its model can"], rows),
            f"Keys: [{domain}](keys-{domain}.md). Recipes in detail: {_guides(domain)}.",
        ]
    return "\n\n".join([*parts, CAPABILITIES])


CAPABILITIES = """
## What a model can do

| word | meaning |
|---|---|
| parallel | all parts of a sample at once, so that it is fast |
| conditional | samples of a label, `--label` |
| temperature | `--temperature` trades quality for diversity |
| latents | paths between samples, `--interpolate` |
| likelihood | a density of given data; bound: a lower bound of it |
| inversion | the latent of given data |
| classification | posteriors of labels, and features |
| infill | fills the gaps of given samples, `--infill` |
"""


def _guides(domain: str) -> str:
    names = sorted(ROOT.glob(f"docs/{domain}*.md"), key=lambda path: path.stem)
    return ", ".join(f"[{path.stem}](../{path.name})" for path in names)


def keys(domain: str) -> str:
    """Every key of the recipes of a domain: meaning, values, and the default of each recipe."""
    from gancore import list_recipes

    found = list_recipes(domain)
    defaults: dict[tuple[str, str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for recipe in found:
        for key in recipe.keys:
            defaults[key.key, key.about, key.allowed][value_text(key.default)].append(recipe.name)
    order = list(dict.fromkeys(key for key, _, _ in defaults))
    ordered = sorted(defaults.items(), key=lambda item: order.index(item[0][0]))
    rows = [
        (code(key), about, allowed, _defaults(values, len(found)))
        for (key, about, allowed), values in ordered
    ]
    return "\n\n".join(
        [
            f"# Keys of {domain} recipes",
            f"What `--set` accepts beside the [sections that all runs share](../configuration.md), for the "
            f"[recipes](recipes.md#{domain}) of the domain. A default without a recipe is that of all.",
            table(["key", "meaning", "values", "default"], rows),
        ]
    )


def _defaults(values: Mapping[str, list[str]], recipes: int) -> str:
    if len(values) == 1 and sum(map(len, values.values())) == recipes:
        return code(next(iter(values)))
    return "; ".join(f"`{value}` {', '.join(names)}" for value, names in values.items())


# What recipes are made of, by name.


def methods() -> str:
    """Losses, penalties, dynamics, optimizers; games and loggers of plugins, if there are any."""
    parts = [
        "# Losses, penalties, dynamics, optimizers",
        "What a configuration chooses by name. A plugin adds its own with a hook "
        "([write a recipe, a loss, an optimizer](../guide-recipe.md)); what a plugin adds is marked.",
        *_losses(),
        *_methods("Penalties", "model.penalty", "penalty", "PENALTIES"),
        "They are joined by `+`.",
        *_remedies(),
        *_methods("Dynamics", "train.dynamics.name", "dynamics", "DYNAMICS"),
        "Settings, formulas and costs: [dynamics](../dynamics.md).",
        *_methods("Optimizers", "model.optimizer", "optimizer", "OPTIMIZERS"),
        *_of_plugins("Games", "games", "chosen by `model.game`"),
        *_of_plugins("Loggers", "loggers", "opened with every run"),
    ]
    return "\n\n".join(parts)


def _entries(hook: str) -> list[tuple[str, str]]:
    """Name and summary of what plugins registered, with the plugin's name."""
    from gancore.plugins import plugins

    found = []
    for entry in plugins().entries(f"gancore_{hook}"):
        owner = plugins().plugin_of(entry)
        found.append((code(entry.name), f"{entry.summary} (plugin {owner.name if owner else 'unknown'})"))
    return found


def _losses() -> Iterator[str]:
    from gancore.games import LOSSES

    rows: list[Sequence[str]] = []
    for name, make in LOSSES.items():
        loss = make()
        facts = {
            "probability of being real": loss.logit_is_log_odds,
            "only differences count": loss.shift_invariant,
            "the generator's loss reads reals": loss.generator_needs_real,
            "rows of a batch are coupled": loss.batch_coupled,
        }
        about = first_line(getattr(make, "func", make))
        about += "".join(f" phi: {each}." for each in getattr(make, "args", ()))
        rows.append((code(name), about, "; ".join(fact for fact, holds in facts.items() if holds)))
    rows += [(name, summary, "") for name, summary in _entries("losses")]
    yield "## Losses"
    yield "Chosen by `model.loss`. r and f are logits of real and fake rows."
    yield table(["name", "source", "what its logit is, and what it reads"], rows)


def _methods(title: str, key: str, kind: str, registry: str) -> Iterator[str]:
    import gancore.games

    built_in: Mapping[str, Any] = getattr(gancore.games, registry)
    hooks = {"penalty": "penalties", "dynamics": "dynamics", "optimizer": "optimizers"}
    rows = [(code(name), _about(made)) for name, made in built_in.items()]
    yield f"## {title}"
    yield f"Chosen by `{key}`."
    yield table(["name", "what it is"], [*rows, *_entries(hooks[kind])])


def _remedies() -> Iterator[str]:
    """The keys that steady a training, from the recipes; a name that none has is an error here."""
    from gancore import list_recipes

    holders: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for recipe in list_recipes():
        for key in recipe.keys:
            holders[key.key][key.about].append(recipe.name)
    lost = [name for name in REMEDIES if f"model.{name}" not in holders]
    if lost:
        raise SystemExit(f"no recipe has the remedies {', '.join(lost)}; fix: REMEDIES in {__file__}")
    rows = [
        (code(f"model.{name}"), about, ", ".join(names) if len(names) <= FEW else f"{len(names)} recipes")
        for name in REMEDIES
        for about, names in holders[f"model.{name}"].items()
    ]
    yield "## Remedies"
    yield (
        "Keys of recipes that steady a training, beside losses, penalties and dynamics. Which helps against "
        "what: [diagnosis](../diagnosis.md). Defaults: the pages of keys."
    )
    yield table(["key", "meaning", "recipes"], rows)


def _about(made: object) -> str:
    if getattr(made, "__module__", "").startswith("torch."):
        return code(f"torch.optim.{getattr(made, '__name__', '')}")
    return first_line(made)


def _of_plugins(title: str, hook: str, use: str) -> Iterator[str]:
    rows = _entries(hook)
    if rows:
        yield f"## {title}"
        yield f"Of plugins, {use}."
        yield table(["name", "what it is"], rows)


# Measures, data, experiments.


def measures() -> str:
    """The measures of the core, of every domain and of other plugins, and feature extractors."""
    from gancore.metrics import CORE_METRICS
    from gancore.plugins import plugins

    parts = [
        "# Measures and features",
        "Every measure that `gancore evaluate --metrics` and `gancore compare --metrics` accept. *Default*: "
        "computed without being asked for. What intervals cover, and what each measure cannot see: "
        "[measures](../measures.md), [on classifiers and likelihoods](../measures-classifier.md), and "
        "[what each missed](../measures-checked.md).",
        "## Of the core",
        _measures(CORE_METRICS),
    ]
    for name in domain_names():
        domain = plugins().load_domain(name)
        parts += [f"## {name}", _measures(domain.metrics.values()), *_features(domain.feature_extractors)]
    others = plugins().entries("gancore_metrics")
    if others:
        parts += ["## Of other plugins", _measures(others)]
    return "\n\n".join(parts)


def _measures(entries: Iterable[Any]) -> str:
    from gancore.plugins import plugins

    rows = []
    for entry in entries:
        metric = plugins().load_metric(entry)
        best = {True: "higher", False: "lower", None: "neither"}[metric.higher_is_better]
        best = best if metric.ideal is None else f"near {metric.ideal:g}"
        needs = ", ".join(sorted(need.replace("_", " ") for need in metric.requires))
        default = "yes" if metric.quick else ""
        rows.append((code(entry.name), entry.summary, metric.kind, best, metric.unit, needs, default))
    return table(["measure", "what it is", "kind", "better", "unit", "needs", "default"], rows)


def _features(extractors: Mapping[str, Any]) -> Iterator[str]:
    if extractors:
        yield "Feature extractors, the default one first:"
        rows = [(code(name), each.summary) for name, each in extractors.items()]
        yield table(["features", "what they are"], rows)


def data() -> str:
    """Named data sets, and the keys of the section ``data``."""
    from gancore.config_layers import describe_allowed
    from gancore.plugins import plugins

    parts = [
        "# Data",
        "What `--data` accepts by name. Every domain also takes a path ([own data](../guide-train.md)); the "
        "first built-in one is used without `--data`. A download is checked by its sha256.",
    ]
    for name in domain_names():
        domain = plugins().load_domain(name)
        sources = [
            (code(each.name), each.summary, each.licence, f"{each.size_mb:,.4g} MB" if each.size_mb else "",
             _origin(each)) for each in domain.sources.values()
        ]  # fmt: skip
        fields = domain.Config.model_fields
        defaults = domain.Config.model_construct().model_dump(mode="json")
        rows = [
            (code(f"data.{key}"), field.description or "", describe_allowed(domain.Config, key),
             code(value_text(defaults.get(key)))) for key, field in fields.items()
        ]  # fmt: skip
        parts += [f"## {name}", table(["name", "what it is", "licence", "size", "from"], sources)]
        parts += [table(["key", "meaning", "values", "default"], rows)]
    return "\n\n".join(parts)


def _origin(source: Any) -> str:
    if not source.files and not source.homepage:
        return "built in"
    place = source.homepage or next(iter(source.files))
    return place if source.files else f"a file that you bring: {place}"


def experiments() -> str:
    """The experiments of the lab with question, prediction and settings."""
    from gancore.plugins import plugins

    parts = [
        "# Experiments of the lab",
        "`gancore lab NAME` runs one; `--set KEY=VALUE` changes a setting. Results: "
        "[rates](../lab-rates.md), [others](../lab-results.md).",
    ]
    for entry in plugins().entries("gancore_experiments"):
        each = plugins().load_object(entry)
        quick, full = each.seconds
        rows = [
            (code(key), each.descriptions.get(key, ""), code(value_text(value)),
             code(value_text(each.quick_settings[key])) if key in each.quick_settings else "")
            for key, value in each.settings.items()
        ]  # fmt: skip
        parts += [
            f"## {entry.name}",
            f"{each.question} About {quick:g} s with `--quick`, {full:g} s without, on one core.",
            f"Prediction: {each.prediction}",
            f"Source: {each.source}",
            table(["setting", "meaning", "value", "with `--quick`"], rows),
        ]
    return "\n\n".join(parts)


def main(words: Sequence[str]) -> int:
    """Write the pages, or compare them."""
    made = pages()
    old = {path.name for path in FOLDER.glob("*.md")}
    changed = [name for name in made if name not in old or (FOLDER / name).read_text() != made[name]]
    gone = sorted(old - made.keys())
    if "--check" not in words:
        FOLDER.mkdir(exist_ok=True)
        for name in changed:
            (FOLDER / name).write_text(made[name])
        for name in gone:
            (FOLDER / name).unlink()
        return 0
    for name in [*changed, *gone]:
        print(f"docs/reference/{name} is not current; fix: make reference", file=sys.stderr)
    return 1 if changed or gone else 0


if __name__ == "__main__":
    os.environ["GANCORE_PLUGINS"] = ",".join(sorted(path.name for path in (ROOT / "plugins").iterdir()))
    sys.exit(main(sys.argv[1:]))
