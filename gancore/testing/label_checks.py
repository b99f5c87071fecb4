"""A check of conditional recipes: what they give hangs on the label that they are given."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from gancore.domain import Batch
from gancore.games.adversarial import AdversarialGame
from gancore.games.game import Game
from gancore.runtime.randomness import Key, Rows, noise_scope
from gancore.testing.bench import RecipeBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import equal
from gancore.testing.training_checks import on_labels
from gancore.trees import Tree

ROWS = 8
SHAKEN, LEAST = 0.3, 0.1
"""How far parameters are moved, as a share of their spread, and at least."""


def heeds_its_labels(bench: RecipeBench) -> None:
    """Two labels give different samples from one key, likelihoods and logits of one row, after 3 rounds.

    The first and the last class are given to 8 rows each. Whatever is equal bit by bit is looked at once more
    with every parameter moved at random: what begins at zero, or is rounded to levels, differs then. Logits
    are looked at where the cost is that of AdversarialGame: another may tell labels in another way.
    """
    game = on_labels(bench).session.table.game
    classes = bench.home.data.spec["classes"]
    if len(classes) < 2:
        raise NotApplicable("the tiny data have one class alone")
    told = [_condition(bench, str(label)) for label in (classes[0], classes[-1])]
    for name, (give, fix) in _given(bench, game).items():
        if _heeds(game, give, told):
            continue
        raise Breach(
            f"{name} the same for the labels {classes[0]!r} and {classes[-1]!r}, bit by bit",
            fix,
        )


def _condition(bench: RecipeBench, label: str) -> Tree:
    return bench.home.domain.condition(label, ROWS, bench.home.data.spec, _key())


def _key() -> Key:
    return Key.of("kit", "labels").cut(Rows.all(ROWS))


Give = Callable[[Tree], Tree]


def _given(bench: RecipeBench, game: Game) -> dict[str, tuple[Give, str]]:
    """What must hang on a condition, as functions of it, each with the remedy; named with its verb."""
    real = bench.home.view("train").take(torch.arange(ROWS) % len(bench.home.view("train")), _key()).data
    made: dict[str, tuple[Give, str]] = {}
    if hasattr(game.sampler(), "sample"):
        made["samples of one key are"] = (
            lambda condition: _sampler(game).sample(ROWS, _key(), condition),  # type: ignore[operator]
            "let the generator take the condition that sample is given; draw no label from the latent",
        )
    if hasattr(game.sampler(), "log_prob"):
        made["the likelihood of a row is"] = (
            lambda condition: _sampler(game).log_prob(Batch(real, condition)),  # type: ignore[operator]
            "let log_prob look at its condition",
        )
    if isinstance(game, AdversarialGame) and _has_the_cores_cost(type(game)):
        encoded = game.representation.encode(Batch(real)).data
        made["the discriminator's logits are"] = (
            lambda condition: game.discriminator(encoded, condition),
            "let judge look at its condition: else nothing tells the generator what labels mean",
        )
    return made


def _sampler(game: Game) -> nn.Module:
    return game.sampler().eval()


def _has_the_cores_cost(kind: type[AdversarialGame]) -> bool:
    return (
        kind.cost is AdversarialGame.cost
        and kind.discriminator_cost is AdversarialGame.discriminator_cost
        and kind.logits is AdversarialGame.logits
    )


@torch.no_grad()
def _heeds(game: Game, give: Give, told: list[Tree]) -> bool:
    def differ() -> bool:
        outcomes = []
        for condition in told:
            with noise_scope(Key.of("kit", "noise"), Rows.all(ROWS)):
                outcomes.append(give(condition))
        return outcomes[0] is None or not equal(*outcomes)

    was_training = game.training
    game.eval()
    try:
        if differ():
            return True
        with _moved(game):
            return differ()
    finally:
        game.train(was_training)


@contextlib.contextmanager
def _moved(game: Game) -> Iterator[None]:
    """Within, every parameter stands elsewhere, those of averages too."""
    before = {name: parameter.detach().clone() for name, parameter in game.named_parameters()}
    try:
        for name, parameter in game.named_parameters():
            spread = max(LEAST, float(parameter.std())) if parameter.numel() > 1 else LEAST
            step: Tensor = Key.of("kit", "moved", name).normal(*parameter.shape) * (SHAKEN * spread)
            parameter.add_(step.to(parameter))
        yield
    finally:
        for name, parameter in game.named_parameters():
            parameter.copy_(before[name])
