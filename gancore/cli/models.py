"""``gancore models``: list trained models, ``show`` the card of one, ``pack``, ``push`` and ``pull`` one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.options import JsonOption, RunOrModelArgument, complete_domain, complete_model
from gancore.cli.sharing import pull, push
from gancore.console import print_json, print_line, print_table
from gancore.text import format_size

if TYPE_CHECKING:
    from gancore.summaries import ModelSummary

COLUMNS = ("id", "recipe", "data", "size", "licence", "figure, with its interval and controls")
HALF_PRECISION = ("float16", "bfloat16")

app = typer.Typer(rich_markup_mode=None)
app.command()(push)
app.command()(pull)


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    domain: Annotated[
        str | None, typer.Option(help="List models of this domain only.", autocompletion=complete_domain)
    ] = None,
    runs: Annotated[Path, typer.Option(help="The folder with the runs.")] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """List trained models of runs and of plugins; show the card of one."""
    if context.invoked_subcommand is not None:
        return None
    from gancore import summaries

    found = summaries.list_models(domain, runs)
    if as_json:
        return print_json([asdict(model) for model in found])
    if not found:
        return print_line(f"no models of plugins, and none in {runs}; `gancore train` makes one")
    print_table(COLUMNS, [_row(model) for model in found])
    print_line("`gancore models show ID` prints a card, `gancore generate ID -n 16` writes samples")


def _row(model: ModelSummary) -> tuple[str, ...]:
    size = format_size(model.size) if model.size else ""
    return model.id, model.recipe, model.data, size, model.licence, model.figure or model.summary


@app.command()
def show(
    model: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The id of a model, a run or a model folder.", autocompletion=complete_model
        ),
    ],
) -> None:
    """Print the card of a model."""
    from gancore.models.card_text import read_card, render_card

    for line in render_card(read_card(model)):
        print_line(line)


@app.command()
def pack(
    run_or_model: RunOrModelArgument,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The model folder that is written.")],
    dtype: Annotated[str, typer.Option(help="float16 or bfloat16.")] = "float16",
) -> None:
    """Write a model with its weights in half precision, for sharing."""
    from gancore.errors import ConfigError
    from gancore.model_lookup import find_model
    from gancore.models.publish import pack_model
    from gancore.text import suggestion

    if dtype not in HALF_PRECISION:
        raise ConfigError(f"--dtype {dtype!r} is no half precision", suggestion(dtype, HALF_PRECISION))
    pack_model(find_model(run_or_model), out, dtype)
    print_line(out)
