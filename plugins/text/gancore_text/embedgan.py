"""A continuous GAN of words: sequences of vectors of a frozen table, decoded to the nearest rows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, normalize, relu

from gancore import Recipe, Spec, View
from gancore.data import Tree
from gancore.games import (
    Adam,
    AdversarialConfig,
    AdversarialGame,
    Cost,
    Discriminator,
    Draw,
    Game,
    GeneratorSampler,
    Move,
    Phase,
    Player,
    Sampler,
    adversarial_game,
    adversarial_moves,
    cosine,
    noise,
    normal,
    warmup,
    with_defaults,
)
from gancore.nn.autoregressive import token_log_probs
from gancore.random import Key
from gancore_text.latents import TextEncoder, VectorRepresentation, game_class
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import TokenizerName
from gancore_text.word_vectors import WordVectors

AMBIGUOUS = 0.8
"""A vector is ambiguous if its nearest row is farther than this share of the second nearest."""
FIT_ROWS = 1024
RECONSTRUCTION = "reconstruction"
"""The cost of pretraining."""
KL_WEIGHT = 0.1


@with_defaults(
    loss="wasserstein",
    penalty="wgan-gp",
    penalty_weight=10.0,
    discriminator_steps=2,
    lr=3e-4,
    beta1=0.0,
    beta2=0.9,
    ema_halflife=10_000.0,
)
class EmbedGANConfig(AdversarialConfig):
    """The table is fitted to train before training, and then stays as it is.

    In pretraining the generator is the decoder of a variational autoencoder.
    """

    tokenizer: TokenizerName = Field("word", description="what a token is: word, character, bpe or local")
    batch_size: PositiveInt = Field(64, description="texts per global batch")
    steps: PositiveInt = Field(6000, description="steps, when the command gives no budget")
    pretraining: float = Field(
        0.2, ge=0, lt=1, description="share of training in which the generator is pretrained; 0: none"
    )
    pretraining_lr: PositiveFloat = Field(3e-3, description="the maximal learning rate of pretraining")
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
        0.2, description="length of the noise on vectors that the critic reads; a token's vector has length 1"
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
        table = self.vectors.table
        mixed: Tensor = self.logits(latents).softmax(-1).to(table.dtype) @ table
        return mixed

    def logits(self, latents: Tensor) -> Tensor:
        """Of the weights of the rows, (rows, time, vocab_size)."""
        x = self.dense(latents).view(latents.shape[0], -1, self.lengths[0])
        for length, layer in zip(self.lengths, self.convolutions, strict=True):
            x = layer(relu(interpolate(x, size=length)))
        x = x + self.mix(relu(x))
        directions = normalize(self.last(relu(x).transpose(1, 2)), dim=-1)
        logits: Tensor = directions @ (self.sharpness * self.vectors.table.T)
        return logits


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


class NearestTokens(VectorRepresentation):
    """What a generator of vectors is decoded to: the text of the nearest rows."""

    def __init__(self, tokens: TokenIds, vectors: WordVectors) -> None:
        super().__init__(tokens)
        self.vectors = vectors

    def embed(self, tokens: Tensor) -> Tensor:
        return self.vectors.embed(tokens)

    def decode_tensors(self, outputs: Tensor) -> Tensor:
        return self.vectors.nearest(outputs)


class EmbedGANGame(AdversarialGame):
    """An adversarial game of vectors; its log has the error of decoding them.

    The cost "reconstruction" of pretraining is that of a variational autoencoder of independent words, so
    that latents mean something when the game begins. Its encoder is not used afterwards.
    ``decode_distance``: Euclidean, from a generated vector to the nearest row; rows have length 1.
    ``decode_ambiguous``: the share of vectors that are almost as near to another row.
    """

    generator: VectorGenerator
    encoder: TextEncoder

    def cost(self, move: Move, draw: Draw) -> Cost:
        return self.reconstruction_cost(draw) if move.cost == RECONSTRUCTION else super().cost(move, draw)

    def reconstruction_cost(self, draw: Draw) -> Cost:
        """-log p(x | z) + w KL(q(z | x) || p(z)) with one z per row (Kingma and Welling 2014, eq. 10).

        w = KL_WEIGHT (Higgins et al. 2017): at 1 the latents of words that are independent stay unused.
        """
        tokens = self.real(draw).data
        m, log_s = self.encoder(tokens).chunk(2, dim=1)
        z = m + log_s.exp() * draw.normal(m.shape[1], name="posterior")
        divergence = 0.5 * (m.square() + (2 * log_s).exp() - 1 - 2 * log_s).sum(1)
        log_probs = token_log_probs(self.generator.logits(z), tokens)
        cost = Cost().add(RECONSTRUCTION, -log_probs.sum(1))
        return cost.add("kl", divergence, scale=KL_WEIGHT)

    def fit(self, views: Mapping[str, View]) -> None:
        super().fit(views)
        vectors = self.generator.vectors
        vectors.fit(torch.cat([self._tokens(view) for view in views.values()]))
        if self.ema is not None:
            self.ema.module.get_submodule("vectors").load_state_dict(vectors.state_dict())

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
            nearest, second = self.generator.vectors.distances(fake.float())
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
        sizes = config.width, tokens.length
        options = config.game_options()
        options["game"] = game_class(options["game"], EmbedGANGame)
        game = adversarial_game(
            generator=lambda: VectorGenerator(vectors, config.latent_dim, *sizes, config.sharpness),
            discriminator=lambda: VectorCritic(vectors, *sizes, config.input_noise),
            prior=normal(config.latent_dim),
            representation=tokens,
            **options,
        )
        assert isinstance(game, EmbedGANGame)
        if config.pretraining:
            width = config.width
            game.encoder = TextEncoder(tokens.vocab_size, width, width, 2 * config.latent_dim)
            add_pretraining(game, config)
        return game


def add_pretraining(game: EmbedGANGame, config: EmbedGANConfig) -> None:
    """A first phase, in which the generator and the encoder are trained by likelihood."""
    share = config.pretraining
    optimizer = Adam(warmup(cosine(config.pretraining_lr, 1e-5), 0.05), (0.9, 0.99))
    player = Player(["generator", "encoder"], optimizer, clip_grad_norm=5.0)
    game.players = {**game.players, "pretraining": player}
    moves = [Move("pretraining", RECONSTRUCTION)]
    pretraining = Phase(moves, budget_share=share, name="pretraining", selects=False)
    adversarial = adversarial_moves(config.discriminator_steps, game.penalties)
    game.phases = [pretraining, Phase(adversarial, budget_share=1 - share, name="adversarial")]
