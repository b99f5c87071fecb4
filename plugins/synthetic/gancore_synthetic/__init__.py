"""The synthetic domain of gancore: known distributions."""

from pathlib import Path

from gancore import CommandEntry, DomainEntry, PretrainedModelEntry, hookimpl, packaged_models


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [DomainEntry("synthetic", "gancore_synthetic.domain:SyntheticDomain", "known distributions")]


@hookimpl
def gancore_commands() -> list[CommandEntry]:
    return [CommandEntry("synthetic", "gancore_synthetic.commands:app", "plot known distributions")]


@hookimpl
def gancore_models() -> list[PretrainedModelEntry]:
    return packaged_models(Path(__file__).parent / "models")
