"""``gancore export``: write the generator of a model as ONNX or as a program of torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.options import JsonOption, QuietOption, RunOrModelArgument
from gancore.console import print_json, print_line, progress_printer

if TYPE_CHECKING:
    from gancore.models.export import ExportedModel


def export(
    run_or_model: RunOrModelArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file that is written.")],
    form: Annotated[
        str, typer.Option("--format", help="onnx, or torch: a program of torch.export.")
    ] = "onnx",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the generator of a model as a graph from latents to samples, compared with gancore."""
    from gancore import api

    made = api.export_model(
        run_or_model, out, form=form, overwrite=overwrite, announce=progress_printer(quiet)
    )
    if as_json:
        return print_json({**vars(made), "file": str(made.file), "script": made.script and str(made.script)})
    if not quiet:
        for line in _lines(made):
            print_line(line)


def _lines(made: ExportedModel) -> list[str]:
    arrow = f"{', '.join(made.inputs)} -> {', '.join(made.outputs)}"
    lines = [f"{made.file}: {arrow}, any number of rows, float32"]
    lines += [f"{name} differ from gancore by {value:.1e}" for name, value in made.differences.items()]
    if made.amplified:
        lines.append(
            "decoding amplifies rounding: a change of 1e-06 of what is decoded changes"
            f" gancore's own samples by {made.amplified:.1e}"
        )
    if made.remaining:
        lines.append(f"left to do outside the graph: {made.remaining}")
    if made.script is not None:
        lines.append(f"{made.script} samples from it with numpy and onnxruntime")
    return lines
