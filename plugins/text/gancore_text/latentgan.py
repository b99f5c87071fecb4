"""A GAN of the codes of an autoencoder of texts (Zhao et al. 2018; Donahue and Rumshisky 2018)."""

from __future__ import annotations

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from gancore import Recipe, Spec
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
from gancore.nn import until_end, without_dropout
from gancore_text.latents import (
    LatentRecurrent,
    ResidualLayers,
    TextEncoder,
    VectorRepresentation,
    WordDropoutGenerator,
    game_class,
)
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END, TokenizerName

RECONSTRUCTION = "reconstruction"
"""The cost of the autoencoder's moves."""
DECODED_ROWS = 8
"""Texts of a batch whose decoding is compared with them for the log."""


@with_defaults(
    loss="wasserstein",
    penalty="wgan-gp",
    penalty_weight=10.0,
    discriminator_steps=3,
    lr=2e-4,
    beta2=0.9,
    ema_halflife=20_000.0,
)
class LatentGANConfig(AdversarialConfig):
    """First the autoencoder is trained, then the GAN on its codes, while the autoencoder stays as it is."""

    tokenizer: TokenizerName = Field("word", description="what a token is: word, character, bpe or local")
    batch_size: PositiveInt = Field(64, description="texts per global batch")
    steps: PositiveInt = Field(8000, description="steps, when the command gives no budget")
    autoencoder_share: float = Field(
        0.5, gt=0, lt=1, description="share of training in which the autoencoder is trained"
    )
    autoencoder_lr: PositiveFloat = Field(4e-3, description="the autoencoder's maximal learning rate")
    embedding_dim: PositiveInt = Field(96, description="size of the embeddings")
    width: PositiveInt = Field(192, description="units of the decoder, and of encoder and networks of codes")
    code_dim: PositiveInt = Field(64, description="dimensions of a code")
    code_noise: NonNegativeFloat = Field(
        0.3, description="deviation of the noise on codes in training the autoencoder; codes have deviation 1"
    )
    word_dropout: NonNegativeFloat = Field(
        0.3, lt=1, description="share of the decoder's input tokens that are unknown in training"
    )
    latent_dim: PositiveInt = Field(64, description="dimensions of the generator's latents")


class Autoencoder(nn.Module):
    """Texts as codes on the sphere of radius sqrt(code_dim), and back.

    ``code_noise`` is added to codes in training, so that codes near each other decode to similar texts.
    """

    def __init__(self, config: LatentGANConfig, vocab_size: int, length: int) -> None:
        super().__init__()
        half, self.code_noise = max(1, config.width // 2), config.code_noise
        self.encoder = TextEncoder(vocab_size, config.embedding_dim, half, config.code_dim)
        trunk = LatentRecurrent(config.embedding_dim, config.width, config.code_dim)
        self.decoder = WordDropoutGenerator(trunk, vocab_size, length, end=END, latent=config.code_dim)
        self.decoder.word_dropout = config.word_dropout

    def encode(self, tokens: Tensor) -> Tensor:
        """Ids (rows, time) to codes (rows, code_dim)."""
        return on_sphere(self.encoder(tokens))

    def negative_log_prob(self, tokens: Tensor) -> Tensor:
        """-log p(tokens | their code + noise), in nats, (rows)."""
        codes = self.encode(tokens)
        codes = codes + self.code_noise * noise(len(codes), codes.device).normal(*codes.shape)
        return -self.decoder.log_prob(tokens, latents=codes)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (rows, code_dim) to ids (rows, length): at each step the most probable token."""
        decoder, rows, found = self.decoder, codes.shape[0], []
        ended, before = torch.zeros(rows, dtype=torch.bool, device=codes.device), None
        with without_dropout(decoder):
            state = decoder.initial(rows, None, codes)
            for _ in range(decoder.length):
                logits, state = decoder.step(state, before)
                before = torch.where(ended, END, logits.argmax(-1))
                ended = ended | (before == END)
                found.append(before)
                if not torch.compiler.is_exporting() and bool(ended.all()):
                    break
        return pad(torch.stack(found, 1), (0, decoder.length - len(found)), value=END)

    @torch.no_grad()
    def accuracy(self, tokens: Tensor) -> Tensor:
        """The share of the tokens of each text that decoding its code gives back at their places, (rows)."""
        mask = until_end(tokens, END)
        equal = (self.decode(self.encode(tokens)) == tokens) & mask
        shares: Tensor = equal.sum(1) / mask.sum(1)
        return shares


def on_sphere(codes: Tensor) -> Tensor:
    """Rows (rows, size) divided by their root mean square."""
    scaled: Tensor = normalize(codes, dim=1) * codes.shape[1] ** 0.5
    return scaled


class CodeGenerator(nn.Module):
    """Latents (rows, latent) to codes on the sphere."""

    def __init__(self, latent_dim: int, width: int, code_dim: int) -> None:
        super().__init__()
        self.network = ResidualLayers(latent_dim, width, code_dim)

    def forward(self, latents: Tensor) -> Tensor:
        return on_sphere(self.network(latents))


class CodeCritic(Discriminator):
    """Takes codes, or ids through the encoder, which it does not train."""

    def __init__(self, autoencoder: Autoencoder, code_dim: int, width: int) -> None:
        super().__init__()
        self._autoencoder = (autoencoder,)  # in a tuple: its parameters are not the critic's
        self.network = ResidualLayers(code_dim, width, 1, last_bias=False)

    def embed(self, data: Tree) -> Tensor:
        if data.is_floating_point():
            codes: Tensor = data
            return codes
        with torch.no_grad():
            return self._autoencoder[0].encode(data)

    def logits(self, embedded: Tree, condition: Tree = None) -> Tensor:
        logits: Tensor = self.network(embedded)[:, 0]
        return logits


class DecodedCodes(VectorRepresentation):
    """What a generator of codes is decoded to: the texts of the decoder."""

    def __init__(self, tokens: TokenIds, autoencoder: Autoencoder) -> None:
        super().__init__(tokens)
        self.autoencoder = autoencoder

    def embed(self, tokens: Tensor) -> Tensor:
        return self.autoencoder.encode(tokens)

    def decode_tensors(self, outputs: Tensor) -> Tensor:
        return self.autoencoder.decode(outputs)


class LatentGANGame(AdversarialGame):
    """An adversarial game of codes, and an autoencoder, whose cost is "reconstruction"."""

    autoencoder: Autoencoder

    def cost(self, move: Move, draw: Draw) -> Cost:
        if move.cost != RECONSTRUCTION:
            return super().cost(move, draw)
        tokens = self.real(draw).data
        cost = Cost().add(RECONSTRUCTION, self.autoencoder.negative_log_prob(tokens))
        return cost.log("decode_accuracy", self.autoencoder.accuracy(tokens[:DECODED_ROWS]))

    def sampler(self) -> Sampler:
        assert isinstance(self.representation, TokenIds)
        decoded = DecodedCodes(self.representation, self.autoencoder)
        sampler = GeneratorSampler(self.averaged(self.generator), self.prior, decoded, self.conditional)
        sampler.capabilities -= {"parallel"}  # the decoder makes one token at a time
        return sampler


class LatentGAN(Recipe):
    """A generator of codes against a critic with a gradient penalty; samples are decoded codes."""

    Config = LatentGANConfig

    def build(self, config: LatentGANConfig, spec: Spec) -> Game:
        tokens, share = TokenIds(config.tokenizer, spec), config.autoencoder_share
        autoencoder = Autoencoder(config, tokens.vocab_size, tokens.length)
        options = config.game_options()
        options["game"] = game_class(options["game"], LatentGANGame)
        game = adversarial_game(
            generator=lambda: CodeGenerator(config.latent_dim, config.width, config.code_dim),
            discriminator=lambda: CodeCritic(autoencoder, config.code_dim, config.width),
            prior=normal(config.latent_dim),
            representation=tokens,
            players={
                "autoencoder": Player(
                    ["autoencoder"], Adam(warmup(cosine(config.autoencoder_lr, 1e-5), 0.05), (0.9, 0.99)), 5.0
                )
            },
            phases=[
                Phase(
                    [Move("autoencoder", RECONSTRUCTION)],
                    budget_share=share,
                    name="autoencoder",
                    selects=False,
                ),
                Phase(
                    adversarial_moves(options["discriminator_steps"], options["penalties"]),
                    budget_share=1 - share,
                    name="adversarial",
                ),
            ],
            **options,
        )
        assert isinstance(game, LatentGANGame)
        game.autoencoder = autoencoder
        return game
