"""The layout of the page: controls beside samples, and the figures of the model card below."""

from __future__ import annotations

import random
import traceback
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from gancore.app.card import card_section, plain_markdown, without_front_matter
from gancore.app.controls import ANY_LABEL, EACH_LABEL, Controls, Mode, Values
from gancore.app.drawing import Artist, inert
from gancore.errors import GancoreError, as_out_of_memory, describe_error
from gancore.text import count_noun

MODES: dict[Mode, str] = {
    "samples": "Samples",
    "path": "Paths between two samples",
    "infill": "Filled gaps",
}
SHOWN_IN: dict[str, tuple[Mode, ...]] = {
    "n": ("samples", "infill"),
    "label": ("samples", "path"),
    "paths": ("path",),
    "points": ("path",),
    "truncation": ("samples", "path"),
    "temperature": ("samples", "infill"),
    "prompt": ("infill",),
}
"""The modes in which a control is shown; others always are."""
STYLE = (Path(__file__).parent / "page.css").read_text()
SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Helvetica Neue", "Arial", "sans-serif")
MONOSPACED = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace")
LARGEST_SEED = 2**31 - 1


class Parts(NamedTuple):
    """What an action writes to."""

    samples: gr.HTML
    archive: gr.DownloadButton


def build_page(artist: Artist, controls: Controls, card: str) -> gr.Blocks:
    """The page of one model. ``card`` is the text of its model card."""
    title = f"{artist.model.config['recipe']} ({artist.model.config['domain']})"
    with gr.Blocks(title=f"{title}, gancore", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(_heading(artist), elem_classes="heading")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                fields, again, new = _add_controls(controls)
            with gr.Column(scale=3, min_width=300):
                shown = Parts(
                    gr.HTML(elem_classes="gallery", elem_id="samples", min_height=120),
                    gr.DownloadButton("Download the files", visible=False, size="sm"),
                )
                _add_card(card)
        _connect(page, artist, controls, fields, (again, new), shown)
    return page


def theme() -> gr.themes.Base:
    """Fonts of the system alone: others would be fetched."""
    return gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", radius_size="sm", font=SYSTEM_FONTS, font_mono=MONOSPACED
    ).set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
    )


def _heading(artist: Artist) -> str:
    """What the model is: recipe, data, size of the training."""
    config, data = artist.model.config, artist.model.config.get("data")
    training, parameters = config.get("training"), artist.model.sampler.num_parameters
    steps = training.get("step") if isinstance(training, dict) else None
    facts = [
        f"domain {config['domain']}",
        f"trained on {data['source']}" if isinstance(data, dict) and data.get("source") else "",
        count_noun(steps, "step") if isinstance(steps, int) else "",
        count_noun(parameters, "parameter") if parameters else "",
        str(artist.model.device),
    ]
    about = " · ".join(filter(None, facts))
    return f"<h1>{escape(str(config['recipe']))}</h1><p>{escape(about)}</p>"


def _add_controls(controls: Controls) -> tuple[dict[str, Any], gr.Button, gr.Button]:
    """The fields by the name of their value, and the buttons for the same seed and for another one."""
    first = controls.modes[0]
    fields: dict[str, Any] = {
        "mode": gr.Radio(
            [(MODES[mode], mode) for mode in controls.modes],
            value=first,
            label="Make",
            visible=len(controls.modes) > 1,
        ),
        "seed": gr.Number(0, label="Seed", precision=0, minimum=0, maximum=LARGEST_SEED),
        "n": gr.Slider(1, controls.most, value=controls.count, step=1, label="Number of samples"),
    }
    if controls.classes:
        choices = [("as in the data", ANY_LABEL), ("each label", EACH_LABEL)]
        choices += [(name, number) for number, name in enumerate(controls.classes)]
        fields["label"] = gr.Dropdown(choices, value=ANY_LABEL, label="Label")
    if "path" in controls.modes:
        fields["paths"] = gr.Slider(1, 8, value=3, step=1, label="Number of paths", visible=False)
        fields["points"] = gr.Slider(2, 16, value=8, step=1, label="Samples of each path", visible=False)
    if controls.truncation:
        about = "Bound on the latents; lower: less variety, fewer outliers. 0: none"
        fields["truncation"] = gr.Slider(0, 3, value=0, step=0.05, label="Truncation", info=about)
    if controls.temperature:
        about = "Lower: less variety. 0: the model's own"
        fields["temperature"] = gr.Slider(0, 2, value=0, step=0.05, label="Temperature", info=about)
    if controls.infill:
        fields["prompt"] = gr.Textbox("", label="Prompt with gaps", lines=2, visible=False)
    with gr.Row():
        again = gr.Button("Make", variant="primary", size="md", min_width=80)
        new = gr.Button("New seed", size="md", min_width=80)
    return fields, again, new


def _connect(
    page: gr.Blocks,
    artist: Artist,
    controls: Controls,
    fields: dict[str, Any],
    buttons: tuple[gr.Button, gr.Button],
    shown: Parts,
) -> None:
    """Let the controls draw samples. One request is drawn at a time."""
    names, again, new = list(fields), *buttons

    def draw(*given: Any) -> tuple[str, Any]:
        try:
            drawing = artist.draw(controls.request(_values(names, given)))
        except Exception as error:  # the page goes on, whatever the model or its plugin did
            if not isinstance(error, GancoreError):
                traceback.print_exception(error)
            reason = inert(escape(str(as_out_of_memory(error) or describe_error(error, 1000))))
            return f'<p class="refusal" role="alert">{reason}</p>', gr.update(visible=False)
        return drawing.html, gr.update(value=str(drawing.archive), visible=True)

    def change_mode(mode: Mode) -> list[Any]:
        return [gr.update(visible=mode in SHOWN_IN[name]) for name in names if name in SHOWN_IN]

    inputs, outputs = list(fields.values()), list(shown)
    quiet: dict[str, Any] = {"api_visibility": "private"}
    moded = [field for name, field in fields.items() if name in SHOWN_IN]
    fields["mode"].change(change_mode, fields["mode"], moded, show_progress="hidden", **quiet)
    submitted = [fields[name].submit for name in ("seed", "prompt") if name in fields]
    gr.on([page.load, again.click, *submitted], draw, inputs, outputs, **quiet)
    seeded = new.click(
        lambda: random.randrange(1_000_000), None, fields["seed"], show_progress="hidden", **quiet
    )
    seeded.then(draw, inputs, outputs, **quiet)


def _values(names: list[str], given: tuple[Any, ...]) -> Values:
    """The values of the fields. Raises GancoreError if a number is missing."""
    values = dict(zip(names, given, strict=True))
    values["prompt"] = values.get("prompt") or ""
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise GancoreError(f"no {missing[0]} is given", "give a number")
    for name in ("seed", "n", "label", "paths", "points"):
        if name in values:
            values[name] = int(values[name])
    return Values(**values)


def _add_card(card: str) -> None:
    """The section of measures of a model card, and the whole card to unfold."""
    measures = card_section(card, "Measures")
    if measures:
        gr.Markdown(plain_markdown(f"## Measures\n\n{measures}"), elem_id="measures", latex_delimiters=[])
    with gr.Accordion("Model card", open=False):
        gr.Markdown(plain_markdown(without_front_matter(card)), elem_id="card", latex_delimiters=[])
