"""REINFORCE: the gradient of an expected reward from samples and their probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from gancore.errors import ConfigError
from gancore.games.cost import Cost
from gancore.games.estimators import Estimator
from gancore.nn.dropout import without_dropout
from gancore.nn.sequences import SequenceGenerator, until_end
from gancore.random import Key
from gancore.trees import Tree

if TYPE_CHECKING:
    from gancore.games.discrete import DiscreteGame
    from gancore.games.draw import Draw

Baseline = Literal["none", "ema", "position", "learned"]
"""What is subtracted from a reward: nothing, an average, one for each position, or a learned value."""
Reward = Literal["loss", "probability", "centred", "constant"]
"""What of the discriminator's logits rewards a sample; ``constant`` is the control without any signal."""


class Reinforce(Estimator):
    """The policy gradient (Williams 1992): the cost is - sum_t (R_t - b_t) log p(x_t | x_<t), per row.

    Rewards r_t are of the discriminator's logits: by ``reward``, minus the generator's loss, sigmoid(D)
    ("probability"), or 2 sigmoid(D) - 1 ("centred"). Logits (rows, length) reward each token up to the first
    end (de Masson d'Autume et al. 2019); others reward the last token by their mean. The return is R_t =
    sum_(s >= t) discount^(s - t) r_s. With ``rollouts`` it is the mean reward of so many sequences that are
    sampled on from x_1 ... x_t (Yu et al. 2017, eq. 4), at the cost of length / 2 times as many steps of the
    generator each.

    **Bias.** With ``discount = 1``, with or without rollouts, the gradient is an unbiased estimate of that of
    the expected sum of rewards, the mean over rows, for every ``baseline``: none reads x_t. Rewards by
    position must then read no later token, as those of a recurrent discriminator do: R_t leaves out r_s for
    s < t. A discount below 1 is biased, for less variance (figures: ``benchmarks/estimators.py``).
    ``entropy_bonus`` adds minus so many times the entropy of each p(. | x_<t) to the cost, which changes the
    objective.

    ``reward="constant"`` is the control that tells what pretraining and sampling do by themselves: every
    return is 1, and the discriminator is not asked. The expectation of this gradient is 0, that of its
    square is not: what the samples are, becomes more probable. There is no baseline, which would leave
    nothing (public trials of SeqGAN fed 2 and got figures like those of the discriminator's reward).

    ``baseline``: "ema", the average of past returns over positions; "position", of each position;
    "learned", a linear function of the generator's features, which belongs to the generator's player and is
    trained by the squared error. ``decay``: the weight of the average before the last move.

    The generator's fakes and likelihoods, and rewards, are those of the networks without dropout.
    """

    def __init__(
        self,
        discount: float = 1.0,
        baseline: Baseline = "ema",
        entropy_bonus: float = 0.0,
        rollouts: int = 0,
        reward: Reward = "loss",
        decay: float = 0.9,
    ) -> None:
        super().__init__()
        if not 0 <= discount <= 1 or rollouts < 0 or not 0 <= decay < 1:
            raise ConfigError(
                f"Reinforce has discount={discount}, rollouts={rollouts} and decay={decay}",
                "give a discount from 0 to 1, rollouts of at least 0, and a decay of at least 0 below 1",
            )
        if rollouts and discount != 1:
            raise ConfigError(
                f"Reinforce has rollouts={rollouts} and discount={discount}",
                "set discount=1: rollouts reward whole sequences",
            )
        if reward == "constant" and (baseline != "none" or rollouts):
            raise ConfigError(
                f"Reinforce has reward='constant', baseline={baseline!r} and rollouts={rollouts}",
                "set baseline='none' and rollouts=0: a baseline takes all of a constant away",
            )
        self.discount, self.baseline, self.entropy_bonus = discount, baseline, entropy_bonus
        self.rollouts, self.reward, self.decay = rollouts, reward, decay

    def attach(self, generator: Any) -> None:
        if not isinstance(generator, SequenceGenerator):
            raise ConfigError(
                f"the estimator Reinforce has a generator of {type(generator).__name__}",
                "subclass gancore.nn.SequenceGenerator",
            )
        if self.baseline == "learned":
            self.value = nn.Linear(generator.trunk.out_features, 1)
        elif self.baseline != "none":
            length = generator.length if self.baseline == "position" else 1
            self.average: Tensor
            self.moves: Tensor
            self.register_buffer("average", torch.zeros(length))
            self.register_buffer("moves", torch.zeros(length))

    @torch.no_grad()
    def fake(self, generator: Any, n: int, key: Key, condition: Tree, progress: float) -> Tensor:
        with without_dropout(generator):
            tokens: Tensor = generator.sample(n, key, condition)
        return tokens

    def generator_cost(self, game: DiscreteGame, draw: Draw) -> Cost:
        generator: Any = game.generator
        condition = game.fake_condition(draw)
        tokens = game.make_fake(draw, condition)
        latents = generator.draw_latents(draw.num_rows, draw.root)
        returns = self.returns(game, draw, tokens, condition, latents)
        cost = self.surrogate(generator, tokens, returns, condition, latents)
        mask = generator.mask(tokens, condition)
        return cost.keep("returns", returns, mask).log("return", returns[:, 0])

    def surrogate(
        self,
        generator: SequenceGenerator,
        tokens: Tensor,
        returns: Tensor,
        condition: Tensor | None = None,
        latents: Tensor | None = None,
    ) -> Cost:
        """A cost whose gradient is the estimate, from samples (rows, length) and returns of this shape."""
        mask = generator.mask(tokens, condition)
        with without_dropout(generator):
            features = generator.features(tokens, condition, latents)
            logits = generator.head(features)
        log_p = log_softmax(logits, -1, dtype=torch.promote_types(logits.dtype, torch.float32))
        of_tokens = log_p.gather(-1, tokens[..., None])[..., 0]
        baseline = self._baseline(features, returns)
        advantage = torch.where(mask, returns - baseline.detach(), 0.0)
        cost = Cost().add("loss", -(advantage * of_tokens).sum(1))
        if self.baseline == "learned":
            error = torch.where(mask, returns.detach() - baseline, 0.0)
            cost.add("baseline", error.square().sum(1))
        if self.entropy_bonus:
            entropy = torch.where(mask, -(log_p.exp() * log_p).sum(-1), 0.0).sum(1)
            cost.add("entropy_bonus", -entropy, scale=self.entropy_bonus)
        return cost

    def returns(
        self, game: DiscreteGame, draw: Draw, tokens: Tensor, condition: Tree, latents: Tensor | None
    ) -> Tensor:
        """R_t of samples (rows, length), of this shape; without gradient through the opponent."""
        if self.reward == "constant":
            return torch.ones(tokens.shape, device=tokens.device)
        if game.loss.batch_coupled and self.reward == "loss":
            raise ConfigError(
                "the loss couples the rows of a batch, so it gives no reward of one sample",
                "choose a loss such as nonsaturating, or reward='probability'",
            )
        rewards = self._rewards(game, draw, tokens, condition)
        if rewards.shape == tokens.shape:
            if self.rollouts:
                raise ConfigError(
                    f"Reinforce has rollouts={self.rollouts}, and the discriminator gives logits by position",
                    "set rollouts=0, or give one logit per row",
                )
            return discounted(torch.where(until_end(tokens, self._end(game)), rewards, 0.0), self.discount)
        if self.rollouts:
            return self._rollout_returns(game, draw, tokens, condition, latents, rewards)
        last = until_end(tokens, self._end(game)).sum(1) - 1
        dense = torch.zeros(tokens.shape, dtype=rewards.dtype, device=rewards.device)
        return discounted(dense.scatter(1, last[:, None], rewards[:, None]), self.discount)

    def _rewards(self, game: DiscreteGame, draw: Draw, tokens: Tensor, condition: Tree) -> Tensor:
        """(rows, length) if the logits are by position, else (rows)."""
        with draw.freeze_opponents(), without_dropout(game.discriminator):
            logits = game.logits(draw, tokens, condition)
            if self.reward == "loss":
                real = logits
                if game.loss.generator_needs_real:
                    real = game.real_logits(draw)
                    real = real.repeat(len(tokens) // len(real), *[1] * (real.dim() - 1))
                rewards = -game.loss_values("generator", real, logits)
            else:
                rewards = logits.sigmoid() if self.reward == "probability" else 2 * logits.sigmoid() - 1
        by_position = rewards.shape == tokens.shape
        return rewards if by_position else rewards.reshape(len(rewards), -1).mean(1)

    def _rollout_returns(
        self,
        game: DiscreteGame,
        draw: Draw,
        tokens: Tensor,
        condition: Tree,
        latents: Tensor | None,
        rewards: Tensor,
    ) -> Tensor:
        """The mean reward of sequences sampled on after each token; of the last, that of the sequence."""
        generator: Any = game.generator
        (rows, length), count = tokens.shape, self.rollouts
        repeated = None if condition is None else condition.repeat(count, *[1] * (condition.dim() - 1))
        columns, state, before = [], generator.initial(rows, condition, latents), None
        for t in range(length - 1):
            with torch.no_grad(), without_dropout(generator):
                _, state = generator.step(state, before)
                before = tokens[:, t]
                uniform = (draw.root / "rollout" / t).uniform(rows, count, length - 1 - t)
                completed = generator.complete(
                    tokens[:, : t + 1].repeat(count, 1),
                    tuple(part.repeat(count, *[1] * (part.dim() - 1)) for part in state),
                    uniform.transpose(0, 1).flatten(0, 1),
                )
            values = self._rewards(game, draw, completed, repeated)
            columns.append(values.view(count, rows).mean(0))
        return torch.stack([*columns, rewards], 1)

    def _end(self, game: DiscreteGame) -> int | None:
        end: int | None = cast(Any, game.generator).end
        return end

    def _baseline(self, features: Tensor, returns: Tensor) -> Tensor:
        """b_t, of the shape of the returns; of what precedes x_t alone."""
        if self.baseline == "learned":
            values: Tensor = self.value(features.detach())[..., 0]
            return values.to(returns.dtype)
        return torch.zeros_like(returns) if self.baseline == "none" else self.average.expand_as(returns)

    @torch.no_grad()
    def after_move(self, means: Mapping[str, Tensor]) -> None:
        """Update the average of returns; at first it is their mean over the moves made so far."""
        if self.baseline not in ("ema", "position") or "returns" not in means:
            return
        now = means["returns"] if self.baseline == "position" else means["returns"].nanmean(0, keepdim=True)
        known = ~now.isnan() & (means["ok"] > 0)
        self.moves += known
        weight = (1 / self.moves.clamp_min(1)).clamp_min(1 - self.decay)
        self.average.copy_(torch.where(known, torch.lerp(self.average, now.to(weight), weight), self.average))


def discounted(rewards: Tensor, discount: float) -> Tensor:
    """sum_(s >= t) discount^(s - t) r_s of rewards (rows, time)."""
    if discount == 1:
        return rewards.flip(1).cumsum(1).flip(1)
    columns = [rewards[:, -1]]
    for t in range(rewards.shape[1] - 2, -1, -1):
        columns.append(rewards[:, t] + discount * columns[-1])
    return torch.stack(columns[::-1], 1)
