"""Checks of networks: shapes, logits, and whether outputs depend on labels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gancore.data.dataset import Batch
from gancore.games.adversarial import AdversarialGame
from gancore.games.discriminator import Discriminator
from gancore.games.draw import Draw
from gancore.games.game import Game
from gancore.games.sampler import Sampler
from gancore.random import Key, RowRange, noise_scope
from gancore.testing.check import (
    CheckFailure,
    SkipCheck,
    describe_tree,
    relative_difference,
    tree_all_finite,
    tree_signature,
    trees_equal,
)
from gancore.testing.fixtures import RecipeFixture
from gancore.testing.training_checks import conditional_run
from gancore.trees import Tree, tree_cat, tree_leaves, tree_slice

CLOSE = 1e-4
"""Tolerance for sums in another order, relative to the largest value."""


def matches_shapes(fixture: RecipeFixture) -> None:
    """Samples have the tree, shape and dtype of real rows, after decode and after a discriminator's embed."""
    from gancore.models.sampling import condition_sampler, draw_samples
    from gancore.random import Key

    sampler, real = fixture.generating_sampler(), fixture.domain_fixture.samples(4).data
    condition = condition_sampler(
        sampler, fixture.domain_fixture.domain, fixture.domain_fixture.data.spec, None
    )
    fake, _ = draw_samples(sampler, 4, Key.of("kit"), condition)
    if tree_signature(fake) != tree_signature(real):
        raise CheckFailure(
            f"a sample is {describe_tree(fake)}, a real row {describe_tree(real)}",
            "make decode(generator output) the same as get_batch",
        )
    if not tree_all_finite(fake):
        raise CheckFailure("samples of the untrained model are not finite", "check its initial parameters")
    if isinstance(fixture.game, AdversarialGame):
        draw = fixture.draw()
        batch = fixture.real_batch(draw)
        d = fixture.game.discriminator
        seen = [d.embed(tree) for tree in (batch.data, fixture.game.make_fake(draw, batch.condition))]
        if tree_signature(seen[0]) != tree_signature(seen[1]):
            raise CheckFailure(
                f"the discriminator embeds real rows as {describe_tree(seen[0])}, "
                f"fake ones as {describe_tree(seen[1])}",
                "return the same shape and dtype for both: penalties interpolate between them",
            )


def gives_finite_logits(fixture: RecipeFixture) -> None:
    """Every discriminator gives finite logits of shape (batch,) or (batch, several)."""
    for name, discriminator in discriminators(fixture).items():
        for kind, tree, condition in _seen(fixture, discriminator):
            logits = logits_of(fixture, discriminator, tree, condition)
            rows = fixture.batch_size
            if not isinstance(logits, Tensor) or logits.dim() not in (1, 2) or len(logits) != rows:
                shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise CheckFailure(
                    f"{name} gives logits of shape {shape} for {rows} {kind} rows",
                    "return (batch,) or (batch, several); squeeze(1) removes an axis of size one",
                )
            if not tree_all_finite(logits):
                raise CheckFailure(
                    f"{name} gives logits that are not finite for {kind} rows", "avoid sqrt and log of 0"
                )


def scores_rows_independently(fixture: RecipeFixture) -> None:
    """The logits of a row do not depend on the other rows of its batch, unless the game is batch_coupled."""
    if fixture.game.batch_coupled:
        discriminators(fixture)
        raise SkipCheck("the game declares batch_coupled: its costs mix rows")
    for name, discriminator in discriminators(fixture).items():
        for kind, tree, condition in _seen(fixture, discriminator):
            before = logits_of(fixture, discriminator, tree, condition)
            half = fixture.batch_size // 2
            after = logits_of(fixture, discriminator, _changed(tree, half), condition)
            change = relative_difference(before[:half], after[:half])
            if change > CLOSE:
                raise CheckFailure(
                    f"{name} mixes rows of a batch: the logits of {kind} rows change by {change:.2g} when "
                    f"other rows change{_coupling(discriminator)}",
                    "normalise each row by itself, or set batch_coupled = True on the game",
                )


def discriminators(fixture: RecipeFixture) -> dict[str, Discriminator]:
    if not fixture.discriminators:
        raise SkipCheck("the game has no discriminator")
    return fixture.discriminators


def _seen(fixture: RecipeFixture, discriminator: Discriminator) -> Iterator[tuple[str, Tree, Tree]]:
    """Real and fake inputs of the discriminator, as (kind, data, condition)."""
    draw = fixture.draw()
    batch: Batch = fixture.real_batch(draw)
    yield "real", batch.data, batch.condition
    game = fixture.game
    if isinstance(game, AdversarialGame) and discriminator is game.discriminator:
        with torch.no_grad():
            yield "fake", game.make_fake(draw, batch.condition), batch.condition


def logits_of(
    fixture: RecipeFixture, discriminator: Discriminator, tree: Tree, condition: Tree, embedded: bool = False
) -> Any:
    """Logits in training mode, with the same noise in every call.

    ``embedded``: ``tree`` is already embedded.
    """
    draw: Draw = fixture.draw()
    with noise_scope(draw.key("kit").with_rows(None), RowRange.all(fixture.batch_size)):
        return (discriminator.logits if embedded else discriminator)(tree, condition)


def _changed(tree: Tree, kept: int) -> Tree:
    """The tree with every row after the first ``kept`` rows replaced by the first row."""
    others = [tree_slice(tree, 0, 1)] * (len(tree_leaves(tree)[0]) - kept)
    return tree_cat([tree_slice(tree, 0, kept), *others])


def _coupling(module: nn.Module) -> str:
    """The name of a layer that is known to mix rows, as a suffix of a message; empty if there is none."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            return f" ({type(part).__name__} at {name or 'the top'})"
    return ""


ROWS = 8
PERTURBATION, MIN_PERTURBATION = 0.3, 0.1
"""The size of a perturbation of parameters: relative to their standard deviation, and its minimum."""


def depends_on_labels(fixture: RecipeFixture) -> None:
    """After 3 steps, two labels give different samples of one key, and other likelihoods and logits of a row.

    The first and the last class are given to 8 rows each. Outputs that are equal bit by bit are compared
    again with every parameter perturbed: weights that start at zero and outputs that are rounded then differ.
    Logits are compared only if the cost is that of AdversarialGame: another cost may use labels in another
    way.
    """
    game = conditional_run(fixture).session.setup.game
    classes = fixture.domain_fixture.data.spec["classes"]
    if len(classes) < 2:
        raise SkipCheck("the tiny data have only one class")
    conditions = [_condition(fixture, str(label)) for label in (classes[0], classes[-1])]
    for name, (give, fix) in _given(fixture, game).items():
        if _differs_by_label(game, give, conditions):
            continue
        raise CheckFailure(
            f"{name} equal bit by bit for the labels {classes[0]!r} and {classes[-1]!r}",
            fix,
        )


def _condition(fixture: RecipeFixture, label: str) -> Tree:
    return fixture.domain_fixture.domain.make_condition(label, ROWS, fixture.domain_fixture.data.spec, _key())


def _key() -> Key:
    return Key.of("kit", "labels").with_rows(RowRange.all(ROWS))


Output = Callable[[Tree], Tree]


def _given(fixture: RecipeFixture, game: Game) -> dict[str, tuple[Output, str]]:
    """Functions of the condition whose outputs must depend on it, each with a fix, by subject and verb."""
    real = (
        fixture.domain_fixture.view("train")
        .get_batch(torch.arange(ROWS) % len(fixture.domain_fixture.view("train")), _key())
        .data
    )
    made: dict[str, tuple[Output, str]] = {}
    if game.sampler().can("sample"):
        made["samples of one key are"] = (
            lambda condition: _sampler(game).sample(ROWS, _key(), condition),
            "use the condition that sample gets in the generator; draw no label from the latent",
        )
    if game.sampler().can("likelihood"):
        made["the likelihood of a row is"] = (
            lambda condition: _sampler(game).log_prob(Batch(real, condition)),
            "use the condition in log_prob",
        )
    if isinstance(game, AdversarialGame) and _has_the_cores_cost(type(game)):
        encoded = game.representation.encode(Batch(real)).data
        made["the discriminator's logits are"] = (
            lambda condition: game.discriminator(encoded, condition),
            "use the condition in logits: the generator cannot learn labels without it",
        )
    return made


def _sampler(game: Game) -> Sampler:
    return game.sampler().eval()


def _has_the_cores_cost(kind: type[AdversarialGame]) -> bool:
    return (
        kind.cost is AdversarialGame.cost
        and kind.discriminator_cost is AdversarialGame.discriminator_cost
        and kind.logits is AdversarialGame.logits
    )


@torch.no_grad()
def _differs_by_label(game: Game, give: Output, conditions: list[Tree]) -> bool:
    def differ() -> bool:
        outcomes = []
        for condition in conditions:
            with noise_scope(Key.of("kit", "noise"), RowRange.all(ROWS)):
                outcomes.append(give(condition))
        return outcomes[0] is None or not trees_equal(*outcomes)

    was_training = game.training
    game.eval()
    try:
        if differ():
            return True
        with _perturbed(game):
            return differ()
    finally:
        game.train(was_training)


@contextlib.contextmanager
def _perturbed(game: Game) -> Iterator[None]:
    """Context manager that perturbs every parameter, including those of the EMA, and restores them."""
    before = {name: parameter.detach().clone() for name, parameter in game.named_parameters()}
    try:
        for name, parameter in game.named_parameters():
            spread = (
                max(MIN_PERTURBATION, float(parameter.std())) if parameter.numel() > 1 else MIN_PERTURBATION
            )
            step: Tensor = Key.of("kit", "moved", name).normal(*parameter.shape) * (PERTURBATION * spread)
            parameter.add_(step.to(parameter))
        yield
    finally:
        for name, parameter in game.named_parameters():
            parameter.copy_(before[name])
