"""What the recipes share whose gradients cross tokens by Gumbel-softmax: keys, discriminator, game."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

from gancore.games import (
    Adam,
    AdversarialConfig,
    AdversarialGame,
    Move,
    Phase,
    Player,
    StraightThroughGumbel,
    TokenDiscriminator,
    adversarial_game,
    cosine,
    exponential,
    warmup,
    with_defaults,
)
from gancore.nn import Dropout, SequenceGenerator, SteppingTrunk
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END, TokenizerName

PRETRAINING = "pretraining"
"""The player that trains the generator by maximum likelihood."""
KERNELS = (2, 3, 4, 5)
"""Tokens that the discriminator's convolutions read."""


@with_defaults(
    loss="relativistic",
    penalty="none",
    lr=1e-4,
    discriminator_lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    clip_grad_norm=5.0,
)
class GumbelConfig(AdversarialConfig):
    """The keys of recipes whose generator is trained through Gumbel-softmax samples."""

    tokenizer: TokenizerName = Field("word", description="what a token is: word, character or bpe")
    batch_size: PositiveInt = Field(64, description="texts per global batch")
    steps: PositiveInt = Field(4000, description="steps, when the command gives no budget")
    embedding_dim: PositiveInt = Field(128, description="size of the generator's embeddings")
    dropout: NonNegativeFloat = Field(
        0.3, lt=1, description="share of the generator's inputs and outputs that are zero in pretraining"
    )
    temperature: PositiveFloat = Field(1.0, description="of the softmax, at the start of the game")
    temperature_end: PositiveFloat = Field(
        0.01, description="of the softmax, in the last step; it changes exponentially"
    )
    pretraining: NonNegativeFloat = Field(
        0.7, lt=1, description="share of the steps in which the generator is a language model; 0: none"
    )
    pretraining_lr: PositiveFloat = Field(
        3e-3, description="Adam's maximal rate in that share; it falls to 1/100 along a cosine"
    )
    maps: PositiveInt = Field(64, description="the discriminator's maps of each width of convolution")
    discriminator_dropout: NonNegativeFloat = Field(
        0.25, lt=1, description="share of the discriminator's features that are zero"
    )

    def unused_keys(self) -> Mapping[str, str]:
        idle = dict(super().unused_keys())
        if self.pretraining == 0:
            idle |= dict.fromkeys(("dropout", "pretraining_lr"), "model.pretraining=0.5")
        return idle

    def build_game(
        self, trunk: Callable[[], SteppingTrunk], tokens: TokenIds, hard: bool, readings: int, size: int
    ) -> AdversarialGame:
        """The game of a generator on this trunk: its pretraining, if any, then the adversarial phase."""
        temperature = exponential(self.temperature, self.temperature_end)
        game = adversarial_game(
            generator=lambda: SequenceGenerator(
                trunk(), tokens.vocab_size, tokens.length, end=END, dropout=self.dropout
            ),
            discriminator=lambda: TextDiscriminator(
                tokens.vocab_size, tokens.length, readings, size, self.maps, self.discriminator_dropout
            ),
            estimator=StraightThroughGumbel(temperature, hard),
            players=self._pretraining_player(),
            representation=tokens,
            **self.game_options(),
        )
        if self.pretraining:
            share = self.pretraining / (1 - self.pretraining)  # of the game's, which is 1
            moves = [Move(PRETRAINING, "nll")]
            game.phases = [Phase(moves, budget_share=share, name="likelihood", selects=False), *game.phases]
        return game

    def _pretraining_player(self) -> dict[str, Player]:
        if not self.pretraining:
            return {}
        rate = warmup(cosine(self.pretraining_lr, self.pretraining_lr / 100), 0.05)
        return {PRETRAINING: Player(["generator"], Adam(rate, (0.9, 0.99)), clip_grad_norm=5.0)}


class TextDiscriminator(TokenDiscriminator):
    """Convolutions of several widths and their maxima over time (Kim 2014), a highway layer (Srivastava et
    al. 2015), a dense layer.

    The embedding is cut into ``readings`` parts of ``size``, each of which the same layers read as a text of
    its own (Nie et al. 2019, section 3.3); logits (batch, readings), or (batch) of one reading. Ends after
    the first are read like any token. There is no last bias, as it cancels in losses that compare logits.
    """

    def __init__(
        self, vocabulary: int, length: int, readings: int, size: int, maps: int, dropout: float
    ) -> None:
        super().__init__(vocabulary, readings * size)
        self.readings, self.size = readings, size
        kernels = [kernel for kernel in KERNELS if kernel <= length] or [1]
        self.convolutions = nn.ModuleList(nn.Conv1d(size, maps, kernel, bias=False) for kernel in kernels)
        features = maps * len(kernels)
        self.bias = nn.Parameter(torch.zeros(features))
        self.highway = nn.Linear(features, 2 * features)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(features, 1, bias=False)

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        rows, time, _ = embedded.shape
        texts = embedded.view(rows, time, self.readings, self.size).permute(0, 2, 3, 1).flatten(0, 1)
        # The maximum first: it is that of the rectified maps with their bias, with fewer numbers.
        maxima = [convolution(texts).amax(2) for convolution in self.convolutions]
        features = relu(torch.cat(maxima, 1) + self.bias)
        change, gate = self.highway(features).chunk(2, 1)
        mixed = torch.lerp(features, relu(change).to(features.dtype), gate.sigmoid().to(features.dtype))
        by_text = self.dropout(mixed.view(rows, self.readings, -1))  # rows first, as dropout is keyed by rows
        logits: Tensor = self.output(by_text)[..., 0]
        return logits[:, 0] if self.readings == 1 else logits
