"""Estimators: how the gradient of a cost of discrete samples reaches the generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from gancore.errors import ConfigError
from gancore.games.cost import Cost
from gancore.games.likelihood import ModelSampler
from gancore.games.prior import normal
from gancore.games.representation import Representation
from gancore.games.sampler import Sampler
from gancore.games.schedules import Schedule, schedule_value
from gancore.nn.dropout import without_dropout
from gancore.random import Key
from gancore.trees import Tree

if TYPE_CHECKING:
    from gancore.games.discrete import DiscreteGame
    from gancore.games.draw import Draw

State = tuple[Tensor, ...]


class DiscreteGenerator(Protocol):
    """What estimators drive; :class:`gancore.nn.SequenceGenerator` is one, and documents each member."""

    length: int
    vocab_size: int
    end: int | None
    latent: int

    def initial(self, rows: int, condition: Any = None, latents: Tensor | None = None) -> State: ...

    def step(self, state: State, tokens: Tensor | None) -> tuple[Tensor, State]: ...

    def draw_latents(self, n: int, key: Key) -> Tensor | None: ...

    def log_prob(self, tokens: Tensor, condition: Any = None, latents: Tensor | None = None) -> Tensor: ...

    def sample(self, n: int, key: Key, condition: Any = None, temperature: float = 1.0) -> Tensor: ...


class Estimator(nn.Module):
    """How a gradient crosses discrete samples.

    A subclass defines :meth:`fake`; if its gradient does not go through the fakes, also
    :meth:`generator_cost`. Its parameters belong to the generator's player, its buffers are saved.
    """

    def attach(self, generator: Any) -> None:
        """Called once with the generator, before training: make what depends on its sizes."""

    def fake(self, generator: Any, n: int, key: Key, condition: Tree, progress: float) -> Tensor:
        """Sequences as ids (n, length), or as simplex rows (n, length, vocabulary) that carry gradients."""
        raise TypeError(f"{type(self).__name__} must define fake(generator, n, key, condition, progress)")

    def generator_cost(self, game: DiscreteGame, draw: Draw) -> Cost:
        """The generator's main cost."""
        return game.pathwise_cost(draw)

    def after_move(self, means: Mapping[str, Tensor]) -> None:
        """Called after each move of the generator, as :meth:`gancore.games.Game.after_move`."""

    def sampler(self, generator: nn.Module, representation: Representation, conditional: bool) -> Sampler:
        """What a model folder stores."""
        return ModelSampler(generator, representation, conditional)


class StraightThroughGumbel(Estimator):
    """Gumbel-softmax (Jang et al. 2017; Maddison et al. 2017). Biased.

    The next token is the argmax of logits + Gumbel noise, an exact sample. With ``hard`` the discriminator
    and the generator's next step get its one-hot row, whose gradient is that of softmax((logits + noise) /
    temperature), straight through. Without, the discriminator gets that softmax itself, and the next step
    the token without gradient, as in RelGAN (Nie et al. 2019). After the end there is no gradient.

    ``temperature`` may be a schedule, whose value in the last step of the phase is the one that it states:
    ``exponential(1.0, 1 / beta_max)`` is RelGAN's inverse temperature beta_max^(i / N). Where no gradient is
    needed, hard rows are ids. One tensor (n, vocabulary) is kept for each step's gradient, beside its row.
    """

    def __init__(self, temperature: Schedule | float = 1.0, hard: bool = True) -> None:
        super().__init__()
        self.temperature, self.hard = temperature, hard

    def fake(
        self, generator: DiscreteGenerator, n: int, key: Key, condition: Tree, progress: float
    ) -> Tensor:
        temperature, end = schedule_value(self.temperature, progress), generator.end
        as_ids = self.hard and not torch.is_grad_enabled()
        ended: Tensor | None = None
        rows: Tensor | None = None

        def choose(t: int, logits: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal ended, rows
            # In place: each of these tensors is as large as the logits.
            scores = gumbel(key / "gumbel" / t, *logits.shape).add_(_at_least_fp32(logits))
            if end is not None and ended is not None:
                scores.add_(torch.where(ended[:, None], _all_but(end, scores), 0.0))
            ids = scores.argmax(-1)
            ended = None if end is None else ids == end
            if as_ids:
                return ids, ids
            scores.div_(temperature)
            if not self.hard:
                return scores.softmax(-1), ids
            if rows is None:
                rows = scores.new_empty(n, generator.length, scores.shape[-1])
            row = write_one_hot(scores, rows, t)
            return row, row

        chosen = unroll(generator, condition, generator.draw_latents(n, key), n, choose)
        return torch.stack(chosen, 1) if rows is None else join_rows(rows, chosen)


class Pathwise(Estimator):
    """Simplex rows softmax(logits / temperature) in place of samples: functions of the latents.

    They are given to the discriminator and to the generator's next step (Rajeswar et al. 2017, section 3);
    their embeddings are mixtures of embeddings. The gradient of the cost of these rows is exact. Samples are
    their argmax, so as a gradient of the cost of samples it is biased. The generator needs latents.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def attach(self, generator: Any) -> None:
        if not generator.latent:
            raise ConfigError(
                "the estimator Pathwise needs a generator with latents: all its samples would be equal",
                "build SequenceGenerator(..., latent=128) with a trunk of condition=128",
            )

    def fake(
        self, generator: DiscreteGenerator, n: int, key: Key, condition: Tree, progress: float
    ) -> Tensor:
        latents = generator.draw_latents(n, key)
        assert latents is not None
        return soft_rows(generator, latents, condition, self.temperature)

    def sampler(self, generator: nn.Module, representation: Representation, conditional: bool) -> Sampler:
        return PathwiseSampler(generator, representation, conditional, self.temperature)


class PathwiseSampler(Sampler):
    """Sequences that are functions of latents: at each step the most probable token."""

    def __init__(
        self, generator: nn.Module, representation: Representation, conditional: bool, temperature: float
    ) -> None:
        super().__init__()
        self.generator: Any = generator
        self.representation, self.temperature = representation, temperature
        self.prior = normal(int(cast(Any, generator).latent))
        self.capabilities = frozenset({"sample", "latents"})
        if conditional:
            self.capabilities |= {"conditional"}

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tree:
        return self.render(self.latents(n, key), condition)

    def latents(self, n: int, key: Key) -> Tensor:
        latents: Tensor = self.generator.draw_latents(n, key)
        return latents

    def render(self, latents: Tensor, condition: Tree = None) -> Tree:
        return self.representation.decode(self.network_outputs(latents, condition))

    @torch.no_grad()
    def network_outputs(self, latents: Tensor, condition: Tree = None) -> Tree:
        """Token ids, (n, length)."""
        return soft_rows(self.generator, latents, condition, self.temperature).argmax(-1)


def soft_rows(generator: DiscreteGenerator, latents: Tensor, condition: Tree, temperature: float) -> Tensor:
    """Rows softmax(logits / temperature), each of which is the next step's input, (n, length, vocabulary)."""

    def choose(t: int, logits: Tensor) -> tuple[Tensor, Tensor]:
        row = (_at_least_fp32(logits) / temperature).softmax(-1)
        return row, row

    return torch.stack(unroll(generator, condition, latents, len(latents), choose), 1)


def unroll(
    generator: DiscreteGenerator,
    condition: Tree,
    latents: Tensor | None,
    rows: int,
    choose: Callable[[int, Tensor], tuple[Tensor, Tensor]],
) -> list[Tensor]:
    """Drive a generator step by step, without dropout: what stands at each position.

    ``choose(t, logits)`` gives what stands at position t, and what the next step reads.
    """
    outputs, before = [], None
    with without_dropout(cast(nn.Module, generator)):
        state = generator.initial(rows, condition, latents)
        for t in range(generator.length):
            logits, state = generator.step(state, before)
            output, before = choose(t, logits)
            outputs.append(output)
    return outputs


def gumbel(key: Key, *shape: int) -> Tensor:
    """Gumbel(0, 1) noise; the first axis is the batch."""
    noise = key.uniform(*shape).clamp_min_(1e-10)
    return noise.log_().neg_().log_().neg_()  # in place: it is as large as the logits


def write_one_hot(scores: Tensor, rows: Tensor, t: int) -> Tensor:
    """Row t of ``rows`` (n, length, classes), in which it is written: the one-hot row of the argmax of
    ``scores`` (n, classes), with the gradient of their softmax, straight through. See :func:`join_rows`.
    """
    row: Tensor = cast(Any, _OneHot).apply(scores, rows, t)
    return row


class _OneHot(torch.autograd.Function):
    """Keeps the scores alone and computes the softmax again in ``backward``, which is differentiable."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, rows: Tensor, t: int) -> Tensor:
        ctx.save_for_backward(scores)
        row = rows.data[:, t]  # .data: to write it leaves the rows before valid
        return row.zero_().scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        soft = ctx.saved_tensors[0].softmax(-1)
        return torch.mul(grad - torch.linalg.vecdot(grad, soft)[..., None], soft), None, None


def join_rows(rows: Tensor, written: list[Tensor]) -> Tensor:
    """``torch.stack(written, 1)`` of rows that :func:`write_one_hot` wrote to ``rows``, without a copy."""
    joined: Tensor = cast(Any, _Joined).apply(rows, *written)
    return joined


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, *written: Tensor) -> Tensor:
        return rows

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, *grad.unbind(1)


def _at_least_fp32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _all_but(token: int, scores: Tensor) -> Tensor:
    """What is added to scores (rows, classes) so that this token is chosen with certainty: (classes)."""
    ids = torch.arange(scores.shape[-1], device=scores.device)
    return torch.zeros_like(scores[0]).masked_fill(ids != token, -torch.inf)
