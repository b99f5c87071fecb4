"""Checks of what a recipe builds, before training: shapes, logits, gradients, costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gancore.config_text import dump
from gancore.configure import read_config
from gancore.domain import Batch
from gancore.games.adversarial import AdversarialGame
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.field import Field
from gancore.runtime.randomness import Rows, noise_scope
from gancore.testing.bench import RecipeBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import apart, equal, finite, global_generators, outline, told
from gancore.testing.domain_checks import check_section
from gancore.trees import Tree, cut_rows, join_rows, leaves, map_tree

CLOSE = 1e-4
"""Results of the same sums in another order differ by less, relative to the largest."""


def keeps_its_configuration(bench: RecipeBench) -> None:
    """Every key has a valid default and a description; written as YAML, the configuration reads back equal."""
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


def matches_shapes(bench: RecipeBench) -> None:
    """Samples have the tree, the shape and the type of real ones, after decode and where D embeds them."""
    from gancore.models.sampling import condition_for, draw_samples
    from gancore.runtime.randomness import Key

    real, sampler = bench.home.samples(4).data, bench.sampler()
    condition = condition_for(sampler, bench.home.domain, bench.home.data.spec, None)
    fake, _ = draw_samples(sampler, 4, Key.of("kit"), condition)
    if outline(fake) != outline(real):
        raise Breach(
            f"a sample is {told(fake)}, a real one {told(real)}",
            "let the generator, with decode, give what take gives",
        )
    if not finite(fake):
        raise Breach("samples of the fresh model are not finite", "look at its initial parameters")
    if isinstance(bench.game, AdversarialGame):
        draw = bench.draw()
        batch = bench.reals(draw)
        d = bench.game.discriminator
        seen = [d.embed(tree) for tree in (batch.data, bench.game.fake(draw, batch.condition))]
        if outline(seen[0]) != outline(seen[1]):
            raise Breach(
                f"the discriminator embeds real rows as {told(seen[0])}, fakes as {told(seen[1])}",
                "let embed give one kind of both: penalties interpolate there",
            )


def gives_finite_logits(bench: RecipeBench) -> None:
    """Every discriminator gives finite logits, one row for each sample: (batch,) or (batch, several)."""
    for name, discriminator in _discriminators(bench).items():
        for kind, tree, condition in _seen(bench, discriminator):
            logits = _judged(bench, discriminator, tree, condition)
            rows = bench.batch_size
            if not isinstance(logits, Tensor) or logits.dim() not in (1, 2) or len(logits) != rows:
                shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise Breach(
                    f"{name} gives logits of shape {shape} for {rows} {kind} rows",
                    "return (batch,) or (batch, several); squeeze(1) takes out an axis of one",
                )
            if not finite(logits):
                raise Breach(f"{name} gives logits that are not finite for {kind} rows", "keep them finite")


def judges_rows_apart(bench: RecipeBench) -> None:
    """A row's logits stay when the other rows of its batch change, unless the game is batch_coupled."""
    if bench.game.batch_coupled:
        _discriminators(bench)
        raise NotApplicable("the game is batch_coupled: its costs mix rows, and it says so")
    for name, discriminator in _discriminators(bench).items():
        for kind, tree, condition in _seen(bench, discriminator):
            before = _judged(bench, discriminator, tree, condition)
            half = bench.batch_size // 2
            after = _judged(bench, discriminator, _changed(tree, half), condition)
            change = apart(before[:half], after[:half])
            if change > CLOSE:
                raise Breach(
                    f"{name} leaks across the batch: the logits of {kind} rows change by {change:.2g} when "
                    f"other rows change{_coupling(discriminator)}",
                    "normalise each row by itself, or set batch_coupled = True on the game",
                )


def differentiates_twice(bench: RecipeBench) -> None:
    """The gradient of a discriminator with respect to its input can be differentiated: penalties need it."""
    for name, discriminator in _discriminators(bench).items():
        batch = bench.reals(bench.draw())
        points = map_tree(lambda x: x.detach().requires_grad_(), discriminator.embed(batch.data))
        logits = _judged(bench, discriminator, points, batch.condition, embedded=True)
        first = _gradient(logits.sum(), leaves(points), f"{name}'s logits by its input", create_graph=True)
        sqnorm = torch.stack([g.square().sum() for g in first if g is not None])
        params = [p for p in discriminator.parameters() if p.requires_grad]
        culprits = _once_differentiable(logits)
        if not sqnorm.requires_grad:
            raise Breach(
                f"{name}: the gradient by its input has no graph of its own{culprits}",
                "write the backward of that operation in differentiable operations",
            )
        second = _gradient(sqnorm.sum(), params, f"{name}: double backward{culprits}", allow_unused=True)
        live = [g for g in second if g is not None]
        if not all(map(finite, live)):
            raise Breach(
                f"{name}: double backward gives values that are not finite", "look for sqrt or log at 0"
            )
        if not any(bool(g.any()) for g in live):
            raise Breach(f"{name}: double backward reaches no parameter{culprits}", "keep the graph whole")


def reaches_every_parameter(bench: RecipeBench) -> None:
    """Every player gets a finite gradient, the generator through the discriminator, for each parameter."""
    table = bench.table()
    if not table.game.players:
        raise NotApplicable("the game has no players: no gradient trains it")
    reached: dict[str, set[str]] = {player: set() for player in table.game.players}
    for phase in table.game.phases:
        for step in range(4):
            field = Field(table, phase, step, step, 0.0)
            for index, move in enumerate(phase.moves):
                gradient = field.gradient(move, field.draw(index))
                names = table.updaters[move.player].names
                for name, tensor in zip(names, gradient.tensors, strict=True):
                    if tensor is not None and not finite(tensor):
                        raise Breach(
                            f"the gradient of {name} is not finite in round {step}",
                            "look for sqrt or log at 0",
                        )
                    if tensor is not None and bool(tensor.any()):
                        reached[move.player].add(name)
                field.apply(move, gradient)
            table.game.after_round(field)
    for player, names in reached.items():
        lost = [name for name in table.updaters[player].names if name not in names]
        if lost and not names:
            raise Breach(f"no gradient reaches the {player}{_detached(bench)}", "keep the graph whole")
        if lost:
            raise Breach(
                f"no gradient reaches {', '.join(lost[:3])} of the {player} ({len(lost)} in all)",
                "use it, or do not create it: as a bias before a normalisation",
            )


def keeps_costs_pure(bench: RecipeBench) -> None:
    """A cost evaluated twice is the same, and changes nothing: dynamics evaluate it twice."""
    table = bench.table()
    if not any(phase.moves for phase in table.game.phases):
        raise NotApplicable("the game has no moves")
    before = {name: tensor.clone() for name, tensor in table.game.state_dict().items()}
    for phase in table.game.phases:
        field = Field(table, phase, 0, 0, 0.0)
        for index, move in enumerate(phase.moves):
            values = []
            for seed in (1, 2):
                with global_generators(seed):
                    draw = field.draw(index)
                    with draw.noise():
                        values.append(table.game.cost(move, draw).total().detach())
            if not equal(values[0], values[1]):
                raise Breach(
                    f"the {move.cost} of the {move.player}, evaluated twice on one draw, is "
                    f"{float(values[0]):.6g} and {float(values[1]):.6g}{_chance(table.game)}",
                    "draw from the draw, and noise inside modules from gancore.games.noise",
                )
            after = table.game.state_dict()
            changed = [name for name, tensor in before.items() if not equal(tensor, after[name])]
            if changed:
                raise Breach(
                    f"evaluating the {move.cost} of the {move.player} changes {changed[0]}",
                    "change state in after_move or after_round, never in a forward pass",
                )


def adds_up_in_parts(bench: RecipeBench) -> None:
    """Two micro-batches give the gradient of the joined batch: as accumulation and processes need it."""
    if bench.game.batch_coupled:
        raise NotApplicable("the game is batch_coupled: its costs do not add up in parts, and it says so")
    if bench.batch_size % 2:
        raise Breach(f"tiny has a batch of {bench.batch_size}", "give tiny an even model.batch_size")
    whole, parts = bench.table(), bench.table(accumulate=2)
    if not any(phase.moves for phase in whole.game.phases):
        raise NotApplicable("the game has no moves")
    for phase in whole.game.phases:
        for index, move in enumerate(phase.moves):
            gradients = []
            for table in (whole, parts):
                field = Field(table, phase, 0, 0, 0.0)
                gradients.append(field.gradient(move, field.draw(index)).tensors)
            names = whole.updaters[move.player].names
            _require_same_gradient(f"the {move.cost} of the {move.player}", names, *gradients)


def _require_same_gradient(
    cost: str, names: list[str], one: list[Tensor | None], other: list[Tensor | None]
) -> None:
    scale = max((float(g.abs().max()) for g in one if g is not None), default=0.0) or 1.0
    for name, a, b in zip(names, one, other, strict=True):
        if (a is None) != (b is None) or (
            a is not None and b is not None and float((a - b).abs().max()) > 1e-3 * scale
        ):
            raise Breach(
                f"{cost}: the gradient of {name} in two halves is not that of the whole batch",
                "keep rows apart, give masks to Cost.add, or set batch_coupled = True on the game",
            )


def _discriminators(bench: RecipeBench) -> dict[str, Discriminator]:
    if not bench.discriminators:
        raise NotApplicable("the game has no discriminator")
    return bench.discriminators


def _seen(bench: RecipeBench, discriminator: Discriminator) -> Iterator[tuple[str, Tree, Tree]]:
    """(kind, data, condition) of what the discriminator is shown."""
    draw = bench.draw()
    batch: Batch = bench.reals(draw)
    yield "real", batch.data, batch.condition
    game = bench.game
    if isinstance(game, AdversarialGame) and discriminator is game.discriminator:
        with torch.no_grad():
            yield "fake", game.fake(draw, batch.condition), batch.condition


def _judged(
    bench: RecipeBench, discriminator: Discriminator, tree: Tree, condition: Tree, embedded: bool = False
) -> Any:
    """Logits in training mode, under one and the same noise."""
    draw: Draw = bench.draw()
    with noise_scope(draw.key("kit").cut(None), Rows.all(bench.batch_size)):
        return (discriminator.judge if embedded else discriminator)(tree, condition)


def _changed(tree: Tree, kept: int) -> Tree:
    """The first ``kept`` rows, and for the others the first one again and again."""
    others = [cut_rows(tree, 0, 1)] * (len(leaves(tree)[0]) - kept)
    return join_rows([cut_rows(tree, 0, kept), *others])


def _coupling(module: nn.Module) -> str:
    """Names a layer that is known to couple rows."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            return f" ({type(part).__name__} at {name or 'the top'})"
    return ""


def _chance(module: nn.Module) -> str:
    """Names a layer that is known to draw from the global generator."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.dropout._DropoutNd | nn.RReLU):
            return f" ({type(part).__name__} at {name} draws from the global generator)"
    return ""


def _detached(bench: RecipeBench) -> str:
    """Where the way from the generator to its cost is cut."""
    game = bench.game
    if not isinstance(game, AdversarialGame):
        return ""
    draw = bench.draw()
    batch = bench.reals(draw)
    fake = game.fake(draw, batch.condition)
    embedded = game.discriminator.embed(fake)
    ways = (("the generator's output is detached", fake), ("embed detaches it", embedded))
    for cut, tree in ways:
        if not any(leaf.requires_grad for leaf in leaves(tree)):
            return f": {cut}"
    points = map_tree(lambda x: x.detach().requires_grad_(), embedded)
    logits = _judged(bench, game.discriminator, points, batch.condition, embedded=True)
    grads = (
        torch.autograd.grad(logits.sum(), leaves(points), allow_unused=True) if logits.requires_grad else []
    )
    return "" if any(g is not None and bool(g.any()) for g in grads) else ": judge does not look at its input"


def _gradient(output: Tensor, inputs: list[Tensor], what: str, **options: bool) -> list[Tensor | None]:
    try:
        return list(torch.autograd.grad(output, inputs, **{"allow_unused": True, **options}))
    except RuntimeError as error:
        raise Breach(
            f"{what} fails: {' '.join(str(error).split())[:200]}",
            "write it in operations that can be differentiated twice",
        ) from error


def _once_differentiable(logits: Tensor) -> str:
    """Names the operations behind ``logits`` whose backward is written by hand, where there are any."""
    found, seen, waiting = [], set(), [logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        function = getattr(type(node), "_forward_cls", None)
        if function is not None:
            found.append(function.__name__)
        waiting += [before for before, _ in node.next_functions]
    return f" (operations with a backward of their own: {', '.join(sorted(set(found)))})" if found else ""
