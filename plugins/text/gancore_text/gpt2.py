"""GPT-2 from a configuration of transformers, from scratch or from a pretrained folder of the user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator
from torch import Tensor, nn

from gancore import Recipe, Spec
from gancore.errors import ConfigError
from gancore.games import Draw, Game, LikelihoodConfig, LikelihoodGame, likelihood_game, with_defaults
from gancore.nn import Dropout, SequenceGenerator
from gancore_text.pretrained_gpt2 import FINE_TUNING_LR, PretrainedGPT2, read_architecture
from gancore_text.representation import TokenIds
from gancore_text.tokenizer import END, TokenizerName

if TYPE_CHECKING:
    from transformers import GPT2Model

INIT_STD = 0.02
"""Standard deviation of embeddings at first (Radford et al. 2018)."""
Cache = tuple[Tensor, ...]
"""Keys and values of each layer, (rows, heads, positions, size of a head) each: k_1, v_1, k_2, v_2, ..."""


@with_defaults(lr=1e-3, lr_end=0.01, lr_warmup=0.05, beta2=0.99, clip_grad_norm=5.0)
class GPT2Config(LikelihoodConfig):
    """With ``pretrained``, width, layers, heads and tokenizer are those of the folder."""

    tokenizer: TokenizerName = Field("bpe", description="what a token is: bpe, word, character or local")
    batch_size: PositiveInt = Field(64, description="texts per global batch")
    steps: PositiveInt = Field(3000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(192, description="size of the embeddings and of each layer")
    layers: PositiveInt = Field(4, le=48, description="layers")
    heads: PositiveInt = Field(4, description="attention heads of a layer; a divisor of width")
    dropout: NonNegativeFloat = Field(
        0.2, lt=1, description="share of embeddings and of outputs of sublayers that are zero"
    )
    pretrained: str | None = Field(
        None,
        description="a folder that save_pretrained wrote: training starts from its weights, and lr is 1e-4 "
        "unless given; none: from scratch",
    )

    @field_validator("pretrained")
    @classmethod
    def _make_absolute(cls, path: str | None) -> str | None:
        return None if path is None else os.path.abspath(os.path.expanduser(path))

    @model_validator(mode="before")
    @classmethod
    def _fill_from_folder(cls, values: Any) -> Any:
        """Stored configurations have all of these keys, so that a trained model needs no folder."""
        if not isinstance(values, dict) or not isinstance(values.get("pretrained"), str):
            return values
        values = {"tokenizer": "local", "lr": FINE_TUNING_LR, **values}
        if not {"width", "layers", "heads"} <= values.keys():
            try:
                found = read_architecture(values["pretrained"])
            except ConfigError as error:
                raise ValueError(str(error)) from None
            sizes = {"width": found.width, "layers": found.layers, "heads": found.heads}
            values = {**sizes, **values}
        return values


class GPT2Trunk(nn.Module):
    """The layers of ``transformers.GPT2Model``, (rows, time, width) to the same shape.

    Its positions are learned, and output t depends on inputs up to t. Its dropout is keyed; attention weights
    are not dropped.

    Raises:
        ConfigError: transformers is not installed, or ``heads`` does not divide ``width``.
    """

    def __init__(self, width: int, length: int, layers: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(
                f"model.width={width} is not a multiple of model.heads={heads}", "give heads that divide it"
            )
        self.in_features = self.out_features = width
        self.body: Any = _make_body(width, length, layers, heads)
        for name, layer in list(self.body.named_modules()):
            if isinstance(layer, nn.Dropout):
                is_attention = name.endswith("attn_dropout")
                self.body.set_submodule(name, Dropout(0.0 if is_attention else dropout))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        outputs: Tensor = self.body(inputs_embeds=x, use_cache=False).last_hidden_state
        return outputs

    def initial(self, rows: int, condition: Tensor | None = None) -> Cache:
        """The state before the first step: no keys and values."""
        config, positions = self.body.config, self.body.wpe.weight
        shape = rows, config.n_head, 0, self.in_features // config.n_head
        empty: Cache = (positions.new_empty(shape),) * (2 * config.n_layer)
        return empty

    def step(self, state: Cache, x: Tensor) -> tuple[Tensor, Cache]:
        """(rows, width) to (rows, width) and the next state; ``state`` is not changed."""
        from transformers import DynamicCache

        cache: Any = DynamicCache(list(zip(state[::2], state[1::2], strict=True)))
        outputs: Tensor = self.body(
            inputs_embeds=x[:, None], past_key_values=cache, use_cache=True
        ).last_hidden_state
        after = tuple(tensor for layer in cache.layers for tensor in (layer.keys, layer.values))
        return outputs[:, 0], after


def _make_body(width: int, length: int, layers: int, heads: int) -> GPT2Model:
    """GPT2Model without its token embeddings, whose attention can be differentiated twice."""
    try:
        import transformers
    except ImportError:
        raise ConfigError(
            "the recipe gpt2 needs transformers, which is not installed", "pip install 'gancore-text[gpt2]'"
        ) from None
    configuration: Any = transformers.GPT2Config
    config = configuration(
        vocab_size=1,
        n_positions=length,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="eager",
    )
    body = transformers.GPT2Model(config)
    del body.wte  # the generator has the embeddings
    return body


class GPT2LanguageModel(SequenceGenerator):
    """As ``transformers.GPT2LMHeadModel``: logits are products of outputs and embeddings, plus a bias."""

    trunk: GPT2Trunk

    def __init__(self, trunk: GPT2Trunk, vocab_size: int, length: int) -> None:
        super().__init__(trunk, vocab_size, length, end=END)
        self.set_submodule("output", nn.Identity())
        nn.init.normal_(self.embedding, std=INIT_STD)


class GPT2Game(LikelihoodGame):
    """Maximum likelihood, from pretrained weights if there are any."""

    pretrained: PretrainedGPT2 | None = None

    def initialize(self, draw: Draw) -> None:
        if self.pretrained is None:
            return
        self.pretrained.load_into(self.model)
        if self.ema is not None:
            self.ema.module.load_state_dict(self.model.state_dict())


class GPT2(Recipe):
    """GPT-2 (Radford et al. 2019) over tokens; the state of sampling is a cache of keys and values."""

    Config = GPT2Config

    def build(self, config: GPT2Config, spec: Spec) -> Game:
        tokens = TokenIds(config.tokenizer, spec)
        sizes = config.width, tokens.length, config.layers, config.heads, config.dropout

        def build_model() -> nn.Module:
            return GPT2LanguageModel(GPT2Trunk(*sizes), tokens.vocab_size, tokens.length)

        game = likelihood_game(build_model, **config.game_options(), representation=tokens, game=GPT2Game)
        if config.pretrained is not None and isinstance(game, GPT2Game):
            game.pretrained = PretrainedGPT2(config.pretrained, config.tokenizer, spec.get("tokenizer", ""))
        return game
