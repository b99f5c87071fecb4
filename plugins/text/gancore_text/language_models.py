"""Language models: the next token given those before it, by maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import linear, log_softmax

from gancore import Recipe, RecipeConfig, Spec
from gancore.games import Adam, Game, cosine, likelihood_game, warmup
from gancore.nn import SAMPLING_BATCH, Dropout, Recurrent, sample_categorical
from gancore.random import Key
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END, TokenizerName


class LanguageModel(nn.Module):
    """log p(x) = sum_t log p(x_t | x_1 ... x_(t-1)) up to the first END, which is part of the sum.

    The trunk reads embeddings of the tokens before t; the logits of t are products of its output with the
    same embeddings (Press and Wolf 2017) plus a bias. Each sequence has ``length`` ids, END after its end.
    """

    preferred_batch = SAMPLING_BATCH

    def __init__(self, trunk: Recurrent, vocab_size: int, length: int, dropout: float) -> None:
        super().__init__()
        self.trunk, self.vocab_size, self.length = trunk, vocab_size, length
        self.embedding = nn.Parameter(torch.randn(vocab_size, trunk.in_features) / trunk.in_features**0.5)
        self.start = nn.Parameter(torch.zeros(trunk.in_features))
        self.output = nn.Linear(trunk.out_features, trunk.in_features)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout = Dropout(dropout)

    def logits(self, tokens: Tensor) -> Tensor:
        """(batch, time) to (batch, time, vocab_size); those of t depend on the tokens before t."""
        before = nn.functional.embedding(tokens[:, :-1], self.embedding)
        inputs = torch.cat([self.start.expand(len(tokens), 1, -1), before], 1)
        return self._head(self.trunk(self.dropout(inputs)))

    def _head(self, outputs: Tensor) -> Tensor:
        return linear(self.output(self.dropout(outputs)), self.embedding, self.bias)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """Exact, in nats, (batch)."""
        logits = self.logits(tokens)
        exact = torch.promote_types(logits.dtype, torch.float32)
        log_probs = log_softmax(logits, -1, dtype=exact).gather(-1, tokens[..., None])[..., 0]
        return torch.where(until_end(tokens), log_probs, 0.0).sum(1)

    @torch.no_grad()
    def sample(self, n: int, key: Key) -> Tensor:
        """(n, length), int64; row i is a function of the key's row i."""
        uniform = (key / "x").uniform(n, self.length)
        tokens = torch.full((n, self.length), END, device=uniform.device)
        step: Callable[[Tensor], Tensor] = self.trunk.stepper(n)
        inputs, ended = self.start.expand(n, -1), torch.zeros(n, dtype=torch.bool, device=uniform.device)
        for t in range(self.length):
            drawn = sample_categorical(self._head(step(inputs)).float(), uniform[:, t])
            tokens[:, t] = torch.where(ended, END, drawn)
            ended = ended | (drawn == END)
            if bool(ended.all()):
                break
            inputs = self.embedding[tokens[:, t]]
        return tokens


def until_end(tokens: Tensor) -> Tensor:
    """True up to the first END, that one included: (batch, time)."""
    ends = (tokens == END).int()
    return ends.cumsum(1) - ends == 0


class LSTMConfig(RecipeConfig):
    """The learning rate rises over the first twentieth of training, then falls to 1/100 along a cosine."""

    tokenizer: TokenizerName = Field("word", description="what a token is: word, character or bpe")
    batch_size: PositiveInt = Field(64, description="texts per global batch")
    steps: PositiveInt = Field(4000, description="steps, when the command gives no budget")
    embedding_dim: PositiveInt = Field(
        128, description="size of the embeddings, which input and output share"
    )
    width: PositiveInt = Field(256, description="units of each LSTM layer")
    layers: PositiveInt = Field(1, le=8, description="LSTM layers")
    dropout: NonNegativeFloat = Field(0.3, lt=1, description="share of inputs and outputs that are zero")
    lr: PositiveFloat = Field(3e-3, description="Adam's maximal learning rate")
    clip_grad_norm: PositiveFloat = Field(5.0, description="maximal gradient norm, in nats per text")
    ema_halflife: NonNegativeFloat = Field(
        0.0, description="half-life of the EMA of the model, in training examples; 0: no EMA"
    )


class LSTMLanguageModel(Recipe):
    """An LSTM over tokens (Zaremba et al. 2014), embeddings shared by input and output."""

    Config = LSTMConfig

    def build(self, config: LSTMConfig, spec: Spec) -> Game:
        tokens = TokenIds(config.tokenizer, spec)
        trunk = config.embedding_dim, config.width, config.layers
        return likelihood_game(
            lambda: LanguageModel(
                Recurrent(*trunk, cell="lstm"), tokens.vocab_size, tokens.length, config.dropout
            ),
            optimizer=Adam(warmup(cosine(config.lr, config.lr / 100), 0.05), (0.9, 0.99)),
            clip_grad_norm=config.clip_grad_norm,
            ema_halflife=config.ema_halflife or None,
            representation=tokens,
        )
