"""A game that is built wrongly is refused in words: what is wrong, and how to fix it."""

import pytest
import torch
from refusals import refused
from torch import nn

from gancore import ConfigError
from gancore.games import (
    Adam,
    AdversarialGame,
    Cost,
    Discriminator,
    Game,
    Move,
    Phase,
    Player,
    Unrolled,
    adversarial_game,
    check_game,
    normal,
)
from gancore.training.setup import set_up


class Pair(Game):
    """Two networks, each minimised by its own player."""

    def __init__(self, players=None, phases=None):
        super().__init__()
        self.a, self.b, self.frozen = nn.Linear(1, 1), nn.Linear(1, 1), nn.Identity()
        if players is not False:
            self.players = players or {"a": Player(["a"]), "b": Player(["b"])}
        if phases is not False:
            self.phases = [Phase([Move("a"), Move("b")])] if phases is None else phases

    def cost(self, move, draw):
        return Cost().add("loss", self.a(draw.real().data).squeeze(-1) ** 2)


class Critic(Discriminator):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def logits(self, embedded, condition=None):
        return self.layer(embedded).squeeze(-1)


def players(**optimizer):
    return {"a": Player(["a"], **optimizer), "b": Player(["b"])}


@pytest.mark.parametrize(
    ("build", "words", "fix"),
    [
        (lambda: Pair(players=False), ("Pair", "players"), "self.players"),
        (lambda: Pair(phases=False), ("Pair", "phases"), "self.phases"),
        (lambda: Pair(phases=[]), ("Pair", "phases"), "self.phases"),
        (lambda: Pair(phases=[Phase([Move("aa")])]), ("aa",), "a"),
        (lambda: Pair(players={"a": Player(["aa"]), "b": Player(["b"])}), ("aa",), "a"),
        (lambda: Pair(players={"a": Player(["frozen"]), "b": Player(["b"])}), ("trainable",), "parameters"),
        (lambda: Pair(phases=[Phase([Move("a")], dynamics=Unrolled(player="c"))]), ("Unrolled", "c"), ""),
        (lambda: Pair(players=players(optimizer=torch.optim.Adam)), ("Adam",), "TorchOptimizer"),
        (lambda: Pair(players=players(optimizer=Adam)), ("Adam",), "gancore.games.Adam"),
        (lambda: Pair(players=players(optimizer="adam")), ("'adam'",), "gancore.games.Adam"),
        (
            lambda: Pair(players=players(optimizer=torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1))),
            ("SGD",),
            "TorchOptimizer",
        ),
        (lambda: Pair(players={"a": Player("a")}), ("'a'",), "['a']"),
        (
            lambda: Pair(phases=[Phase([Move("a")], dynamics="consensus")]),
            ("'consensus'",),
            "ConsensusOptimization()",
        ),
        (lambda: Pair(phases=[Phase([Move("a", every=0)])]), ("every=0",), ""),
    ],
)
def test_a_game_built_wrongly_is_refused_with_the_fix(build, words, fix):
    with refused(ConfigError, *words, fix=fix) as caught:
        set_up(build(), torch.zeros(4, 1), batch_size=2)
    assert "\n" not in str(caught.value)


def test_a_game_built_rightly_passes():
    check_game(Pair())


def test_a_term_of_one_number_is_refused():
    with refused(ConfigError, "'loss'", fix=".mean()"):
        Cost().add("loss", torch.zeros(4).mean())
    Cost().log("scalar", torch.zeros(4).mean())


def test_a_cost_that_an_adversarial_game_does_not_have_is_named():
    game = adversarial_game(generator=lambda: nn.Linear(2, 2), discriminator=Critic, prior=normal(2))
    for move in (Move("discriminator", "r7"), Move("critic")):
        with refused(ConfigError, AdversarialGame.__name__, move.cost, move.player, fix="PenaltyMove"):
            game.cost(move, None)
