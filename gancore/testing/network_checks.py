"""Checks of a recipe's networks: shapes, logits, each row by itself, double backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gancore.domain import Batch
from gancore.games.adversarial import AdversarialGame
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.runtime.randomness import Rows, noise_scope
from gancore.testing.bench import RecipeBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import apart, finite, outline, told
from gancore.trees import Tree, cut_rows, join_rows, leaves

CLOSE = 1e-4
"""Results of the same sums in another order differ by less, relative to the largest."""


def matches_shapes(bench: RecipeBench) -> None:
    """Samples have the tree, the shape and the type of real ones, after decode and where D embeds them."""
    from gancore.models.sampling import condition_for, draw_samples
    from gancore.runtime.randomness import Key

    sampler, real = bench.generating(), bench.home.samples(4).data
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
    for name, discriminator in discriminators(bench).items():
        for kind, tree, condition in _seen(bench, discriminator):
            logits = judged(bench, discriminator, tree, condition)
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
        discriminators(bench)
        raise NotApplicable("the game is batch_coupled: its costs mix rows, and it says so")
    for name, discriminator in discriminators(bench).items():
        for kind, tree, condition in _seen(bench, discriminator):
            before = judged(bench, discriminator, tree, condition)
            half = bench.batch_size // 2
            after = judged(bench, discriminator, _changed(tree, half), condition)
            change = apart(before[:half], after[:half])
            if change > CLOSE:
                raise Breach(
                    f"{name} leaks across the batch: the logits of {kind} rows change by {change:.2g} when "
                    f"other rows change{_coupling(discriminator)}",
                    "normalise each row by itself, or set batch_coupled = True on the game",
                )


def discriminators(bench: RecipeBench) -> dict[str, Discriminator]:
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


def judged(
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
