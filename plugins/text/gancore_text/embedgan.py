"""A continuous GAN of words: sequences of vectors of a frozen table, decoded to the nearest rows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, normalize, relu

from gancore import Batch, Recipe, Spec, View
from gancore.data import Tree
from gancore.games import (
    AdversarialConfig,
    AdversarialGame,
    Cost,
    Discriminator,
    Draw,
    Game,
    GeneratorSampler,
    Representation,
    Sampler,
    adversarial_game,
    noise,
    normal,
    with_defaults,
)
from gancore.random import Key
from gancore_text.latents import game_class
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import TokenizerName
from gancore_text.word_vectors import WordVectors

AMBIGUOUS = 0.8
"""A vector is ambiguous if its nearest row is farther than this share of the second nearest."""
FIT_ROWS = 1024


@with_defaults(
    loss="wasserstein",
    penalty="wgan-gp",
    penalty_weight=10.0,
    discriminator_steps=2,
    lr=3e-4,
    beta2=0.9,
    ema_halflife=10_000.0,
)
class EmbedGANConfig(AdversarialConfig):
    """The table is fitted to train before training, and then stays as it is."""

    tokenizer: TokenizerName = Field("word", description="what a token is: word, character, bpe or local")
    batch_size: PositiveInt = Field(64, description="texts per global batch")
    steps: PositiveInt = Field(6000, description="steps, when the command gives no budget")
    vector_dim: PositiveInt = Field(64, description="dimensions of the vectors of tokens")
    random_share: float = Field(
        0.5, ge=0, le=1, description="share of a vector that is random, not from the neighbours of its token"
    )
    width: PositiveInt = Field(64, description="channels of the convolutions at full length; doubled inwards")
    latent_dim: PositiveInt = Field(64, description="dimensions of the generator's latents")
    sharpness: PositiveFloat = Field(
        20.0, description="logits of tokens are cosines of generated and table vectors, times this"
    )
    input_noise: NonNegativeFloat = Field(
        0.1, description="length of the noise on vectors that the critic reads; a token's vector has length 1"
    )


def init_he_(network: nn.Module) -> None:
    """Initialisation of He et al. 2015 for layers with ReLU; with others latents hardly matter at first."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


class VectorGenerator(nn.Module):
    """Latents (rows, latent) to vectors (rows, time, size): mixtures of the table's rows.

    A dense layer gives a short sequence, which is enlarged twice; convolutions follow each. With unit vectors
    g_t, their output, vector t is softmax(sharpness g_t E^T) E for the table E: it stays among its rows.
    """

    def __init__(
        self, vectors: WordVectors, latent_dim: int, width: int, length: int, sharpness: float
    ) -> None:
        super().__init__()
        self.vectors, self.sharpness = vectors, sharpness
        self.lengths = [max(1, -(-length // 4)), max(1, -(-length // 2)), length]
        widths = [4 * width, 2 * width, width]
        self.dense = nn.Linear(latent_dim, widths[0] * self.lengths[0])
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, 5, padding=2)
            for before, after in zip(widths, [*widths[1:], width], strict=True)
        )
        self.mix = nn.Conv1d(width, width, 5, padding=2)
        self.last = nn.Linear(width, vectors.table.shape[1])
        init_he_(self)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.dense(latents).view(len(latents), -1, self.lengths[0])
        for length, layer in zip(self.lengths, self.convolutions, strict=True):
            x = layer(relu(interpolate(x, size=length)))
        x = x + self.mix(relu(x))
        table = self.vectors.table
        directions = normalize(self.last(relu(x).transpose(1, 2)), dim=-1)
        logits = directions @ (self.sharpness * table.T)
        mixed: Tensor = logits.softmax(-1).to(table.dtype) @ table
        return mixed


class VectorCritic(Discriminator):
    """Takes vectors, or ids through the table, which it does not train; one logit per text."""

    def __init__(self, vectors: WordVectors, width: int, length: int, input_noise: float) -> None:
        super().__init__()
        self._vectors = (vectors,)  # in a tuple: the table belongs to the generator
        size = vectors.table.shape[1]
        self.deviation = input_noise / size**0.5
        widths = [size, width, 2 * width, 4 * width]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, 5, stride=1 if number == 0 else 2, padding=2)
            for number, (before, after) in enumerate(pairwise(widths))
        )
        for _ in range(2):
            length = -(-length // 2)
        self.dense = nn.Linear(widths[-1] * length, widths[-1])
        self.last = nn.Linear(widths[-1], 1, bias=False)

    def embed(self, data: Tree) -> Tensor:
        return data if data.is_floating_point() else self._vectors[0].embed(data)

    def logits(self, embedded: Tree, condition: Tree = None) -> Tensor:
        if self.training and self.deviation:
            drawn = noise(len(embedded), embedded.device).normal(*embedded.shape)
            embedded = embedded + self.deviation * drawn.to(embedded.dtype)
        x = embedded.transpose(1, 2)
        for layer in self.convolutions:
            x = leaky_relu(layer(x), 0.2)
        logits: Tensor = self.last(leaky_relu(self.dense(x.flatten(1)), 0.2))[:, 0]
        return logits


class NearestTokens(Representation):
    """What a generator of vectors is decoded to: the text of the nearest rows."""

    many_to_one = True

    def __init__(self, tokens: TokenIds, vectors: WordVectors) -> None:
        super().__init__()
        self.tokens, self.vectors = tokens, vectors

    def encode(self, batch: Batch) -> Batch:
        return Batch(self.vectors.embed(self.tokens.encode(batch).data), batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        return self.tokens.decode(self.vectors.nearest(outputs))


class EmbedGANGame(AdversarialGame):
    """An adversarial game of vectors; its log has the error of decoding them.

    ``decode_distance``: Euclidean, from a generated vector to the nearest row; rows have length 1.
    ``decode_ambiguous``: the share of vectors that are almost as near to another row.
    """

    def fit(self, views: Mapping[str, View]) -> None:
        super().fit(views)
        generators = [self.generator, *([] if self.ema is None else [self.ema.module])]
        vectors = [generator.get_submodule("vectors") for generator in generators]
        assert isinstance(vectors[0], WordVectors)
        vectors[0].fit(torch.cat([self._tokens(view) for view in views.values()]))
        for other in vectors[1:]:
            other.load_state_dict(vectors[0].state_dict())

    def _tokens(self, view: View) -> Tensor:
        """The ids of a view, (rows, time), on the CPU."""
        parts = torch.split(torch.arange(len(view)), FIT_ROWS)
        encoded = (self.representation.encode(view.get_batch(part, Key.of("fit"))) for part in parts)
        return torch.cat([batch.data.cpu() for batch in encoded])

    def generator_cost(self, draw: Draw) -> Cost:
        condition = self.fake_condition(draw)
        fake = self.make_fake(draw, condition)
        fake_logits = self.logits(draw, fake, condition)
        real_logits = self.real_logits(draw) if self.loss.generator_needs_real else fake_logits
        cost = Cost().add("loss", self.loss_values("generator", real_logits, fake_logits))
        with torch.no_grad():
            vectors = self.generator.get_submodule("vectors")
            assert isinstance(vectors, WordVectors)
            nearest, second = vectors.distances(fake.float())
        cost.log("decode_distance", nearest.mean(1))
        return cost.log("decode_ambiguous", (nearest > AMBIGUOUS * second).float().mean(1))

    def sampler(self) -> Sampler:
        generator = self.averaged(self.generator)
        vectors = generator.get_submodule("vectors")
        assert isinstance(self.representation, TokenIds) and isinstance(vectors, WordVectors)
        decoded = NearestTokens(self.representation, vectors)
        return GeneratorSampler(generator, self.prior, decoded, self.conditional)


class EmbedGAN(Recipe):
    """A one-shot generator of vectors against a convolutional critic with a gradient penalty."""

    Config = EmbedGANConfig

    def build(self, config: EmbedGANConfig, spec: Spec) -> Game:
        tokens = TokenIds(config.tokenizer, spec)
        vectors = WordVectors(tokens.vocab_size, config.vector_dim, config.random_share)
        options = config.game_options()
        options["game"] = game_class(options["game"], EmbedGANGame)
        return adversarial_game(
            generator=lambda: VectorGenerator(
                vectors, config.latent_dim, config.width, tokens.length, config.sharpness
            ),
            discriminator=lambda: VectorCritic(vectors, config.width, tokens.length, config.input_noise),
            prior=normal(config.latent_dim),
            representation=tokens,
            **options,
        )
