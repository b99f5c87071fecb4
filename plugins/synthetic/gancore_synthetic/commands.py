"""``gancore synthetic``: plot a distribution, or the field of a discriminator over the plane."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancore.plugins import print_line

app = typer.Typer(help="Plot known distributions.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def field(
    run: Annotated[Path, typer.Argument(help="A run folder of the synthetic domain, in two dimensions.")],
    out: Annotated[Path, typer.Option(help="The image file.")] = Path("field.png"),
    n: Annotated[int, typer.Option("-n", min=1, help="Samples drawn over the field.")] = 500,
    label: Annotated[str | None, typer.Option(help="For a conditional run: the field of this label.")] = None,
) -> None:
    """The discriminator's logit over the plane, its gradient as arrows, samples; or log p and the score."""
    from gancore_synthetic.field_plot import save_field_plot

    print_line(save_field_plot(run, out, n, label))


@app.command()
def show(
    source: Annotated[str, typer.Argument(help="ring, grid, mixture, spirals, ...")],
    out: Annotated[Path, typer.Option(help="The image file.")] = Path("truth.png"),
    n: Annotated[int, typer.Option("-n", min=1, help="Points.")] = 2000,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting: data.turns=2.")] = None,
) -> None:
    """Points of a source, over its density."""
    from gancore_synthetic.field_plot import save_density_plot

    print_line(save_density_plot(source, settings or [], out, n))
