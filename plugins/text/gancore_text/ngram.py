"""The n-gram model: what counting alone achieves, a floor for every other model."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from gancore import Recipe, RecipeConfig, Spec
from gancore.games import Game, fitted_game
from gancore_text.kneser_ney import KneserNey
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import TokenizerName


class NgramConfig(RecipeConfig):
    """It is fitted in one step that reads all of train, whatever the batch size."""

    tokenizer: TokenizerName = Field("word", description="what a token is: word, character or bpe")
    steps: PositiveInt = Field(1, description="steps, when the command gives no budget; one is enough")
    order: PositiveInt = Field(3, le=10, description="tokens of the longest n-gram")


class NgramLanguageModel(Recipe):
    """Interpolated modified Kneser-Ney smoothing (:class:`gancore_text.kneser_ney.KneserNey`)."""

    Config = NgramConfig

    def build(self, config: NgramConfig, spec: Spec) -> Game:
        tokens = TokenIds(config.tokenizer, spec)
        model = KneserNey(config.order, tokens.vocab_size, tokens.length)
        game = fitted_game(model, representation=tokens)
        game.fp32_by_default = True
        return game
