"""Checks of a recipe as a record: its configuration, its game, what it declares."""

from __future__ import annotations

import json

from gancore.config_text import dump
from gancore.configure import read_config
from gancore.domain import Spec
from gancore.games.game import Game
from gancore.models.model import build_game
from gancore.testing.bench import RecipeBench
from gancore.testing.check import Breach
from gancore.testing.compare import differing, global_generators
from gancore.testing.domain_checks import check_section


def keeps_its_configuration(bench: RecipeBench) -> None:
    """Every key has a valid default and a description; a configuration, written as YAML, reads back equal."""
    check_section(bench.recipe.Config, "model")
    config = bench.config
    file = bench.folder / "config.yaml"
    file.write_text(dump(config))
    back = read_config(file)
    if back != config:
        before, after = config.model_dump(mode="json"), back.model_dump(mode="json")
        changed = [
            f"{section}.{key}: {value!r} becomes {after[section].get(key)!r}"
            for section in ("data", "model")
            for key, value in before[section].items()
            if after[section].get(key) != value
        ]
        raise Breach(
            f"the configuration does not read back equal ({', '.join(changed) or 'a type changes'})",
            "a validator must leave alone what it gave itself; keep to plain types",
        )


def builds(bench: RecipeBench) -> None:
    """build gives a game from the configuration and the spec as it is stored; the seed decides all else."""
    spec = bench.home.data.spec
    stored = Spec(json.loads(json.dumps(dict(spec.facts))), spec.tensors)
    made = []
    for seed in (1, 2):
        with global_generators(seed):
            game = build_game(bench.recipe, bench.config.model, stored, bench.config.train.seed)
        if not isinstance(game, Game):
            raise Breach(
                f"{type(bench.recipe).__name__}.build gives {type(game).__name__}, no Game",
                "return a gancore.games.Game: adversarial(...), likelihood(...), fitted(...), or your own",
            )
        made.append(game.state_dict())
    if lost := differing(*made):
        raise Breach(
            f"built twice with one seed, {lost[0]} differs", "draw initial parameters from torch alone"
        )
    _ = bench.laid


def has_what_it_declares(bench: RecipeBench) -> None:
    """The sampler can do what the record declares, and a bound is declared as one."""
    from gancore.training.table import check_capabilities

    sampler, provides = bench.sampler(), bench.entry.provides
    check_capabilities(bench.entry, sampler)
    is_bound = bool(getattr(sampler, "bound", False))
    if "bound" in provides and not is_bound:
        raise Breach("it declares a bound, and sampler.bound is false", "set bound = True on the model")
    if is_bound and "likelihood" in provides and "bound" not in provides:
        raise Breach("its log_prob is a bound that is declared as likelihood", "add 'bound' to provides")
    if "conditional" in provides and "conditional" not in bench.recipe.Config.model_fields:
        raise Breach("it declares conditional, and has no key model.conditional", "add conditional: bool")
