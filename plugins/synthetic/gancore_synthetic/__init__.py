"""The synthetic domain of gancore: distributions whose truth is known."""

from gancore import CommandEntry, DomainEntry, hookimpl


@hookimpl
def gancore_domains() -> list[DomainEntry]:
    return [DomainEntry("synthetic", "gancore_synthetic.domain:Synthetic", "distributions of known truth")]


@hookimpl
def gancore_cli() -> list[CommandEntry]:
    return [CommandEntry("synthetic", "gancore_synthetic.commands:app", "look at known distributions")]
