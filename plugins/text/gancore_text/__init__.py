"""The text domain of gancore: GANs of discrete sequences, beside language models."""

from gancore import DomainEntry, hookimpl


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [
        DomainEntry("text", "gancore_text.domain:TextDomain", "lines of text: .txt, .jsonl, .csv, .parquet")
    ]
