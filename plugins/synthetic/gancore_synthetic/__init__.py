"""The synthetic domain of gancore: known distributions."""

from gancore import CommandEntry, DomainEntry, hookimpl


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [DomainEntry("synthetic", "gancore_synthetic.domain:SyntheticDomain", "known distributions")]


@hookimpl
def gancore_commands() -> list[CommandEntry]:
    return [CommandEntry("synthetic", "gancore_synthetic.commands:app", "plot known distributions")]
