"""Texts to vectors and back: what recipes with latents share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from gancore.nn import Recurrent, until_end
from gancore_text.tokenizer import END

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
