"""``data`` for text: columns, lengths, windows and vocabularies."""

from __future__ import annotations

import os
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from gancore import DataConfig, SpecSchema
from gancore.data import BoundedText

MAX_DEFINITION_BYTES = 1 << 26
"""The largest definition of a tokenizer that is read."""


class TextConfig(DataConfig):
    """Lines and rows are stored with single spaces in place of spaces, tabs and line breaks, and without
    spaces at their ends; running text keeps them all. Nothing else is changed.
    """

    shape_keys = frozenset({"lowercase", "max_characters", "window", "max_words", "min_count", "bpe_size"})

    column: str | None = Field(
        None, description="column or key that holds the text; none: text, sentence, caption, content or body"
    )
    label_column: str | None = Field(
        None, description="column or key that holds the label of each text; none: texts have no labels"
    )
    unit: Literal["auto", "line", "window"] = Field(
        "auto",
        description="an example is a line or row, or a window cut from running text; auto: windows of "
        "tiny_shakespeare, else lines",
    )
    window: PositiveInt = Field(128, le=10_000, description="characters of a window")
    lowercase: bool = Field(False, description="convert texts to lower case")
    min_characters: PositiveInt = Field(1, description="shorter texts are left out")
    max_characters: PositiveInt | None = Field(
        None,
        le=10_000,
        description="longer texts are left out; none: the length of 99 % of them, at most 400",
    )
    cut_long: bool = Field(
        False, description="texts longer than max_characters are cut to their beginnings, not left out"
    )
    min_count: PositiveInt = Field(
        2, description="words that are rarer in train are unknown to the word tokenizer"
    )
    max_words: PositiveInt = Field(
        20_000, le=200_000, description="words of the vocabulary, the most frequent"
    )
    bpe_size: PositiveInt = Field(
        2000, ge=256, le=100_000, description="tokens of the byte-pair vocabulary, 256 of them bytes"
    )
    tokenizer: str | None = Field(
        None, description="your tokenizer for model.tokenizer=local: a tokenizer.json, or a folder with one"
    )
    valid_fraction: float = Field(0.1, gt=0, le=0.4, description="share of the texts held out to select by")
    test_fraction: float = Field(0.1, gt=0, le=0.4, description="share of the texts held out to report on")
    seed: NonNegativeInt = Field(0, description="seed of the texts that oracle and markov draw")

    @field_validator("tokenizer")
    @classmethod
    def _make_absolute(cls, path: str | None) -> str | None:
        """A run that is resumed from another folder reads the same file."""
        return None if path is None else os.path.abspath(os.path.expanduser(path))

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError(
                f"max_characters {self.max_characters} is below min_characters {self.min_characters}"
            )
        return self


class TextSchema(SpecSchema):
    """What a model of text knows of its data."""

    max_bytes: Annotated[int, Field(ge=1, le=40_000, description="bytes of the longest text, as UTF-8")]
    usual_bytes: Annotated[
        int, Field(ge=0, le=40_000, description="bytes that 99 % of train do not exceed")
    ] = 40_000
    agreement: Annotated[
        float, Field(ge=0, le=1, description="how often pairs of words of two texts of train are equal")
    ] = 0.0
    characters: list[BoundedText] = Field(description="characters of train, the most frequent first")
    words: list[BoundedText] = Field(description="words of train, each with the space before it")
    bpe: str = Field(
        max_length=MAX_DEFINITION_BYTES, description="the byte-pair tokenizer, as JSON of tokenizers"
    )
    tokenizer: str = Field(
        default="", max_length=MAX_DEFINITION_BYTES, description="data.tokenizer, as JSON of tokenizers"
    )
    token_lengths: dict[str, int] = Field(description="tokens of the longest text, by tokenizer")
