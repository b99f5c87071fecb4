"""What the recipes share whose gradients cross tokens by Gumbel-softmax: keys, discriminator, game."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

from gancore.games import (
    AdversarialGame,
    Phase,
    StraightThroughGumbel,
    TokenDiscriminator,
    adversarial_game,
    adversarial_moves,
    cosine,
    exponential,
    warmup,
    with_defaults,
)
from gancore.nn import Dropout, SequenceGenerator, SteppingTrunk
from gancore_text.pretraining import TokenGANConfig
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END

KERNELS = (2, 3, 4, 5)
"""Tokens that the discriminator's convolutions read."""


@with_defaults(
    loss="relativistic",
    penalty="none",
    lr=5e-5,
    discriminator_lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    clip_grad_norm=5.0,
    pretraining=0.7,
)
class GumbelConfig(TokenGANConfig):
    """The keys of recipes whose generator is trained through Gumbel-softmax samples."""

    dropout: NonNegativeFloat = Field(
        0.3, lt=1, description="share of the generator's inputs and outputs that are zero in pretraining"
    )
    temperature: PositiveFloat = Field(1.0, description="of the softmax, at the start of the game")
    temperature_end: PositiveFloat = Field(
        0.01, description="of the softmax, in the last step; it changes exponentially"
    )
    maps: PositiveInt = Field(64, description="the discriminator's maps of each width of convolution")
    discriminator_dropout: NonNegativeFloat = Field(
        0.25, lt=1, description="share of the discriminator's features that are zero"
    )

    def unused_keys(self) -> Mapping[str, str]:
        idle = {} if self.pretraining else {"dropout": "model.pretraining=0.5"}
        return {**super().unused_keys(), **idle}

    def build_game(
        self, trunk: Callable[[], SteppingTrunk], tokens: TokenIds, hard: bool, readings: int, size: int
    ) -> AdversarialGame:
        """The game of a generator on this trunk: its pretraining, if any, then the adversarial phase."""
        temperature = exponential(self.temperature, self.temperature_end)
        pretraining_lr = warmup(cosine(self.pretraining_lr, self.pretraining_lr / 100), 0.05)
        options = self.game_options()
        moves = adversarial_moves(self.discriminator_steps, options["penalties"])
        return adversarial_game(
            generator=lambda: SequenceGenerator(
                trunk(), tokens.vocab_size, tokens.length, end=END, dropout=self.dropout
            ),
            discriminator=lambda: TextDiscriminator(
                tokens.vocab_size, tokens.length, readings, size, self.maps, self.discriminator_dropout
            ),
            estimator=StraightThroughGumbel(temperature, hard),
            players=self.pretraining_players(pretraining_lr),
            phases=[
                *self.pretraining_phases(),
                Phase(moves, budget_share=1 - self.pretraining, name="adversarial"),
            ],
            representation=tokens,
            **options,
        )


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
