"""The text domain of gancore: GANs of discrete sequences, beside language models."""

from pathlib import Path

from gancore import DomainEntry, PretrainedModelEntry, hookimpl, packaged_models


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [
        DomainEntry("text", "gancore_text.domain:TextDomain", "lines of text: .txt, .jsonl, .csv, .parquet")
    ]


@hookimpl
def gancore_models() -> list[PretrainedModelEntry]:
    return packaged_models(Path(__file__).parent / "models")
