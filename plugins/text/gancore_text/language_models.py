"""Language models: the next token given those before it, by maximum likelihood."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gancore import Recipe, RecipeConfig, Spec
from gancore.games import Adam, Game, cosine, likelihood_game, warmup
from gancore.nn import Recurrent, SequenceGenerator
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END, TokenizerName


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
            lambda: SequenceGenerator(
                Recurrent(*trunk, cell="lstm"),
                tokens.vocab_size,
                tokens.length,
                end=END,
                dropout=config.dropout,
            ),
            optimizer=Adam(warmup(cosine(config.lr, config.lr / 100), 0.05), (0.9, 0.99)),
            clip_grad_norm=config.clip_grad_norm,
            ema_halflife=config.ema_halflife or None,
            representation=tokens,
        )
