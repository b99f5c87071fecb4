"""Texts to vectors and back: what recipes with latents share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, relu

from gancore import Batch
from gancore.errors import ConfigError
from gancore.games import AdversarialGame, HostStep, Representation, noise
from gancore.nn import Recurrent, SequenceGenerator, until_end
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END, UNKNOWN

State = tuple[Tensor, ...]


class TextEncoder(nn.Module):
    """Ids (rows, time) to (rows, outputs): a bidirectional LSTM, its outputs averaged over the text.

    Last come the outputs in fp32, because divergences need a resolution below a nat.
    """

    def __init__(self, vocab_size: int, embedding_dim: int, width: int, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(vocab_size, embedding_dim) / embedding_dim**0.5)
        self.body = nn.LSTM(embedding_dim, width, batch_first=True, bidirectional=True)
        self.dense = nn.Linear(2 * width, outputs)

    def forward(self, tokens: Tensor, condition: object = None) -> Tensor:
        """The mean is over the tokens up to the first end, that one included."""
        outputs, _ = self.body(embedding(tokens, self.embedding))
        mask = until_end(tokens, END)[..., None].to(outputs.dtype)
        pooled = (outputs * mask).sum(1) / mask.sum(1)
        with torch.autocast(tokens.device.type, enabled=False):
            vector: Tensor = self.dense(pooled.to(self.dense.weight.dtype))
        return vector


class VectorRepresentation(Representation):
    """Texts as the vectors that a generator makes; subclasses define ``embed`` and ``decode_tensors``."""

    many_to_one = True

    def __init__(self, tokens: TokenIds) -> None:
        super().__init__()
        self.tokens = tokens

    def embed(self, tokens: Tensor) -> Tensor:
        """Ids (rows, time) to vectors."""
        raise NotImplementedError

    def encode(self, batch: Batch) -> Batch:
        return Batch(self.embed(self.tokens.encode(batch).data), batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        return self.tokens.decode(self.decode_tensors(outputs))

    def host_step(self) -> HostStep:
        return self.tokens.host_step()


class LatentRecurrent(nn.Module):
    """An LSTM that reads its latents at every step, and starts from a function of them: a
    :class:`gancore.nn.SteppingTrunk`.
    """

    def __init__(self, in_features: int, out_features: int, latent: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.body = Recurrent(in_features + latent, out_features, cell="lstm", condition=latent)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        latents = condition[:, None].expand(-1, x.shape[1], -1)
        outputs: Tensor = self.body(torch.cat([x, latents.to(x.dtype)], -1), condition)
        return outputs

    def initial(self, rows: int, condition: Tensor | None = None) -> State:
        """The state of the LSTM, and the latents."""
        assert condition is not None
        return *self.body.initial(rows, condition), condition

    def step(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """(rows, in_features) to (rows, out_features) and the next state; ``state`` is not changed."""
        *inner, latents = state
        outputs, after = self.body.step(tuple(inner), torch.cat([x, latents.to(x.dtype)], -1))
        return outputs, (*after, latents)


class WordDropoutGenerator(SequenceGenerator):
    """In training a share of the tokens that it reads is unknown; those that it predicts are not changed."""

    word_dropout: float = 0.0

    def features(
        self, tokens: Tensor, condition: Tensor | None = None, latents: Tensor | None = None
    ) -> Tensor:
        if self.training and self.word_dropout:
            drawn = noise(len(tokens), tokens.device).uniform(*tokens.shape)
            tokens = torch.where(drawn < self.word_dropout, UNKNOWN, tokens)
        return super().features(tokens, condition, latents)


class ResidualLayers(nn.Module):
    """Vectors (rows, in_features) to (rows, out_features): two residual layers of ``width`` between linear
    ones, each of them x + W relu(V relu(x)).
    """

    def __init__(self, in_features: int, width: int, out_features: int, last_bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Linear(in_features, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.last = nn.Linear(width, out_features, bias=last_bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for before, after in zip(self.inner[::2], self.inner[1::2], strict=True):
            x = x + after(relu(before(relu(x))))
        outputs: Tensor = self.last(relu(x))
        return outputs


def game_class(given: type[AdversarialGame] | None, own: type[AdversarialGame]) -> type[AdversarialGame]:
    """The game of ``model.game``, or the recipe's. Raises ConfigError if it lacks what the recipe's has."""
    if given is not None and not issubclass(given, own):
        raise ConfigError(f"model.game: {given.__name__} is no {own.__name__}", f"subclass {own.__name__}")
    return given or own
