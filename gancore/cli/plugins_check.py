"""``gancore plugins check``: whether a plugin holds to the contract, check by check."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.shared import complete_domain, print_json

if TYPE_CHECKING:
    from gancore.testing import Result


def check(
    name: Annotated[str, typer.Argument(help="The plugin, or its domain.", autocompletion=complete_domain)],
    recipe: Annotated[str | None, typer.Option(help="Only this one of its recipes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Hold a plugin to the contract: one check a line. Exit code 2 where one fails.

    The checks are those of gancore.testing.DomainConformance, on the domain's tiny data.
    """
    from gancore.testing.kit import Kit, failure, summary

    kit, results = Kit.of(name), []
    for result in kit.run(recipe):
        results.append(result)
        if not as_json:
            typer.echo(_line(result))
    error = failure(kit.plugin.subject, results)
    if not as_json:
        typer.echo(summary(results))
        if error is not None:
            raise error
        return
    print_json({"plugin": name, "ok": error is None, "checks": [asdict(result) for result in results]})
    if error is not None:  # stdout holds one document
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code)


def _line(result: Result) -> str:
    return f"{result.state:<8}{result.subject:<24} {result.check:<26} {result.told}"
