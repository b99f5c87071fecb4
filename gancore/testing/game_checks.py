"""Checks of a recipe's costs: gradients that arrive, that add up, and that nothing disturbs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from gancore.games.adversarial import AdversarialGame
from gancore.games.field import Field
from gancore.games.game import Game
from gancore.nn.dropout import global_layer
from gancore.testing.bench import RecipeBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import differing, equal, finite, global_generators
from gancore.testing.network_checks import judged
from gancore.training.precision import check_precision
from gancore.trees import leaves, map_tree


def reaches_every_parameter(bench: RecipeBench) -> None:
    """Every player gets a finite gradient, the generator through the discriminator, for each parameter."""
    table = bench.table()
    _require_moves(table.game)
    reached: dict[str, set[str]] = {player: set() for player in table.game.players}
    for phase in table.game.phases:
        for step in range(4):
            field = Field(table, phase, step, step, progress=step / 4)
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
    for player, found in reached.items():
        lost = [name for name in table.updaters[player].names if name not in found]
        if lost and not found:
            raise Breach(f"no gradient reaches the {player}{_detached(bench)}", "keep the graph whole")
        if lost:
            raise Breach(
                f"no gradient reaches {', '.join(lost[:3])} of the {player} ({len(lost)} in all)",
                "use it, or do not create it: as a bias before a normalisation",
            )


def keeps_costs_pure(bench: RecipeBench) -> None:
    """A cost evaluated twice is the same, and changes nothing: dynamics evaluate it twice.

    The running statistics of batch normalisation are excused where the game is batch_coupled.
    """
    table = bench.table()
    _require_moves(table.game)
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
                    f"{float(values[0]):.6g} and {float(values[1]):.6g}{global_layer(table.game)}",
                    "draw from the draw, and noise in modules from gancore.games.noise (gancore.nn.dropout)",
                )
            after = table.game.state_dict()
            changed = [name for name in differing(before, after) if not _excused(table.game, name)]
            if changed:
                raise Breach(
                    f"evaluating the {move.cost} of the {move.player} changes {changed[0]}",
                    "change state in after_move or after_round, never in a forward pass",
                )


def adds_up_in_parts(bench: RecipeBench) -> None:
    """Two micro-batches give the gradient of the joined batch: as accumulation and processes need it."""
    _require_moves(bench.game)
    if bench.game.batch_coupled:
        raise NotApplicable("the game is batch_coupled: its costs do not add up in parts, and it says so")
    if bench.batch_size % 2:
        raise Breach(f"tiny has a batch of {bench.batch_size}", "give tiny an even model.batch_size")
    whole, parts = bench.table(), bench.table(accumulate=2)
    for phase in whole.game.phases:
        for index, move in enumerate(phase.moves):
            gradients = []
            for table in (whole, parts):
                field = Field(table, phase, 0, 0, 0.0)
                gradients.append(field.gradient(move, field.draw(index)).tensors)
            names = whole.updaters[move.player].names
            _require_same_gradient(f"the {move.cost} of the {move.player}", names, *gradients)


def plays_in_bf16(bench: RecipeBench) -> None:
    """Under --precision auto some machines train in bf16: one round of it is finite too."""
    table = bench.table()
    _require_moves(table.game)
    if table.game.full_precision:
        raise NotApplicable("the game asks for full precision")
    table = replace(table, bf16=True)
    table = replace(table, bf16="" not in check_precision(table).modules)
    for phase in table.game.phases:
        field = Field(table, phase, 0, 0, 0.0)
        for index, move in field.moves():
            gradient = field.gradient(move, field.draw(index))
            if not all(finite(tensor) for tensor in gradient.tensors if tensor is not None):
                raise Breach(
                    f"the {move.cost} of the {move.player} is not finite in bf16",
                    "set full_precision = True on the game, or compute that part in fp32",
                )


def _require_moves(game: Game) -> None:
    if not any(phase.moves for phase in game.phases):
        raise NotApplicable("the game has no moves: no gradient trains it")


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


def _excused(game: Game, tensor: str) -> bool:
    owner = game.get_submodule(tensor.rpartition(".")[0])
    return game.batch_coupled and isinstance(owner, nn.modules.batchnorm._BatchNorm)


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
    logits = judged(bench, game.discriminator, points, batch.condition, embedded=True)
    grads = (
        torch.autograd.grad(logits.sum(), leaves(points), allow_unused=True) if logits.requires_grad else []
    )
    return "" if any(g is not None and bool(g.any()) for g in grads) else ": judge does not look at its input"
