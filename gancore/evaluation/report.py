"""Reports of an evaluation: a short summary, a table with footnotes, metrics for the model card.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.errors import CheckpointError
from gancore.evaluation.result import SPREAD, TRUSTED, EvaluationResult, MetricResult
from gancore.evaluation.tables import to_markdown, to_rich
from gancore.files import MAX_JSON_BYTES, atomic_write, read_regular
from gancore.text import count_noun, escape_control

if TYPE_CHECKING:
    from rich.table import Table

    from gancore.models.card import CardMetric

MAX_LINES, MAX_WIDTH, LABEL_WIDTH = 8, 80, 10
DIVERSITY_SHOWN = 2
"""The number of diversity metrics whose values are shown."""
FEW_ROWS = 50
"""Fewer held-out rows may be the reason why no distance is trusted."""
ALIKE_SPREAD = 0.9
"""The distance between neighbouring samples, relative to real rows, below which they may be collapsed."""
WEAK_CLASSIFIER = 0.9
"""The accuracy below which the summary mentions the classifier."""


def summary(evaluation: EvaluationResult, width: int = MAX_WIDTH, main: str | None = None) -> list[str]:
    """Summarise in at most eight lines: quality, diversity, copies, metrics without trust, the next step.

    ``main``: the metric of the line of quality (:func:`main_result`). Lines that are longer than ``width``
    characters are cut.
    """
    computed = [result for result in evaluation if not result.skipped]
    if not computed:
        return []
    metadata = evaluation.metadata
    rows = count_noun(metadata.get("n_real", 0), "row")
    reference = f"{rows} of {metadata.get('split', '')} of {metadata.get('source', '')}"
    lines = [f"{evaluation.model}: {metadata.get('n', 0):,} samples compared with {reference}"]
    lines += [
        _line("good", _quality_line(computed, main)),
        *(_line("behind", text) for text in _behind_lines(computed)),
        _line("diverse", _diversity_line(computed)),
        _line("copies", _copies_line(computed)),
        _line("distrust", _distrust_line(computed)),
        *(_line("note", note) for note in _notes(computed, metadata)),
    ]
    shown = (*lines[: MAX_LINES - 1], _line("next", _next_step(computed, metadata.get("n_real", 0))))
    return [shorten_line(line, width) for line in shown]


def shorten_line(line: str, width: int = MAX_WIDTH) -> str:
    """Remove the last words of a line that is too long; a single word that is too long is cut."""
    if len(line) <= width:
        return line
    end = line.rfind(" ", 0, width - 3)
    return line[: end if end > 0 else width - 4] + " ..."


def _line(label: str, text: str) -> str:
    return f"{label + ':':{LABEL_WIDTH}}{text}"


def decisive_results(results: Sequence[MetricResult], *kinds: str) -> list[MetricResult]:
    """Results of these kinds that are trusted, have an interval and a better direction."""
    return [
        r
        for r in results
        if r.kind in kinds and r.trusted and r.higher_is_better is not None and r.low is not None
    ]


def main_distance(results: Sequence[MetricResult]) -> MetricResult | None:
    """The first distance that is trusted and sensitive to every control.

    One that the model scores itself only if there is no other: by it, nothing is known about real rows.
    """
    able = [result for result in decisive_results(results, "distance") if result.trust == TRUSTED]
    return min(able, key=lambda result: result.own_scored, default=None)


def main_result(results: Iterable[MetricResult], main: str | None = None) -> MetricResult | None:
    """The result of the metric ``main``, by default the main distance; None if it was not computed."""
    computed = [result for result in results if not result.skipped and result.value is not None]
    if main is None:
        return main_distance(computed)
    return next((result for result in computed if result.metric == main), None)


def metrics_showing_noise(results: Sequence[MetricResult]) -> list[str]:
    """Metrics by which the samples are no better than noise.

    Empty unless they are more than half of the metrics that are sensitive to noise, or the main distance is
    one of them.
    """
    sensitive, showing = _as_bad_as("noise", results)
    enough = 2 * len(showing) > len(sensitive) or main_distance(results) in showing
    return [result.metric for result in showing] if enough else []


def _as_bad_as(
    control: str, results: Sequence[MetricResult]
) -> tuple[list[MetricResult], list[MetricResult]]:
    """The results that are sensitive to a negative control, and those by which the samples are no better."""
    decisive = decisive_results(results, "distance", "fidelity", "diversity")
    sensitive = [result for result in decisive if control in result.visible_controls]
    return sensitive, [result for result in sensitive if result.no_better_than(control)]


def metrics_showing_collapse(results: Sequence[MetricResult]) -> list[str]:
    """Diversity metrics by which the samples are no better than a few repeated rows.

    Empty unless they are more than half of the diversity metrics that are sensitive to the collapse, and if
    samples are about as far from each other as real rows are: they miss the data without being alike.
    """
    if any(result.details.get(SPREAD, 0.0) >= ALIKE_SPREAD for result in results):
        return []
    decisive = decisive_results(results, "diversity")
    sensitive = [result for result in decisive if "collapse" in result.visible_controls]
    showing = [result.metric for result in sensitive if result.no_better_than("collapse")]
    return showing if 2 * len(showing) > len(sensitive) else []


def describe_quality(result: MetricResult, differs: bool | None) -> str:
    """Describe in words where a value lies between noise (otherwise collapse) and real rows.

    ``differs`` is True if a distance distinguishes the samples from real rows, None if it is unknown.
    """
    visible = [control for control in ("noise", "collapse") if control in result.visible_controls]
    worse = [control for control in visible if result.no_better_than(control)]
    if worse:
        return f"no better than {'noise' if worse[0] == 'noise' else 'a collapsed model'}"
    if result.own_scored:
        return "its own scores: not compared with real rows"
    if differs is False:
        return "not distinguishable from real rows"
    gap_closed = result.gap_closed
    if gap_closed is None:
        return "worse than real rows" if differs else "not compared with real rows"
    return f"{100 * gap_closed:.0f} % of the way to real"


def differs_from_real(results: Sequence[MetricResult]) -> bool | None:
    """Whether the samples are worse than real rows by any distance, at 95 % for all; None if unknown.

    Distances that the model scores itself say nothing of it.
    """
    distances = [result for result in decisive_results(results, "distance") if not result.own_scored]
    differs = [result.worse_than_real(len(distances)) for result in distances]
    known = [worse for worse in differs if worse is not None]
    return any(known) if known else None


def _behind_lines(results: Sequence[MetricResult]) -> Iterator[str]:
    """The metrics by which the samples are no better than noise, if there are any."""
    sensitive, showing = _as_bad_as("noise", results)
    if showing:
        names = ", ".join(result.metric for result in showing)
        yield f"no better than noise by {len(showing)} of {len(sensitive)} metrics: {names}"


def _quality_line(results: Sequence[MetricResult], main: str | None = None) -> str:
    result = main_result(results, main)
    if result is None:
        return "unknown: no distance is trusted on these data"
    return f"{_figures(result)}: {describe_quality(result, differs_from_real(results))}"


def _figures(result: MetricResult) -> str:
    """A value with its controls, for one number of rows: ``frechet 118 (real 16.0, noise 1,399)``."""
    value = result.value if result.matched is None else result.matched
    ends = [
        f"{name} {format_number(result.anchors[name])}"
        for name in ("real", result.bad_control)
        if name in result.anchors and not (name == "real" and result.own_scored)
    ]
    return f"{result.metric} {format_number(value)}" + (f" ({', '.join(ends)})" if ends else "")


def _diversity_line(results: Sequence[MetricResult]) -> str:
    found = decisive_results(results, "diversity")
    if not found:
        return "unknown: no metric of diversity is trusted on these data"
    figures = ", ".join(f"{r.metric} {_pair(r)}" for r in found[:DIVERSITY_SHOWN])
    if metrics_showing_collapse(results):
        return f"collapsed: {figures}"
    less = any(result.worse_than_real(len(found)) for result in found)
    return f"{'less than real' if less else 'as real rows'}: {figures}"


def _pair(result: MetricResult) -> str:
    value = result.value if result.matched is None else result.matched
    real = result.anchors.get("real")
    return format_number(value) + ("" if real is None else f" of {format_number(real)}")


def copies_result(results: Sequence[MetricResult]) -> MetricResult | None:
    """The result of the copies metric, if it was computed."""
    return next((r for r in results if r.kind == "memory" and r.higher_is_better is False), None)


def metrics_showing_copies(results: Sequence[MetricResult]) -> list[str]:
    """The name of the copies metric, if it finds copies."""
    result = copies_result(results)
    found = result is not None and result.trusted and result.low is not None and result.low > 0
    return [result.metric] if result and found else []


def _copies_line(results: Sequence[MetricResult]) -> str:
    result = copies_result(results)
    if result is None or not result.trusted or result.value is None:
        return "unknown" + (f": {result.trust.removeprefix('no: ')}" if result else "")
    bounds = f"{100 * (result.low or 0):.2g} to {100 * (result.high or 0):.2g} % of the samples"
    return f"{'samples copy train' if metrics_showing_copies(results) else 'none found'}: {bounds}"


def _distrust_line(results: Sequence[MetricResult]) -> str:
    names = [r.metric for r in results if not r.trusted and r.higher_is_better is not None]
    if not names:
        return f"none: all {len(results)} metrics order their controls correctly"
    return f"{len(names)} of {len(results)} metrics: {', '.join(names)}"


def _notes(results: Sequence[MetricResult], metadata: Mapping[str, Any]) -> Iterator[str]:
    """Limits of the figures, the most important first."""
    if metadata.get("note"):
        yield str(metadata["note"])
    n, n_real = metadata.get("n", 0), metadata.get("n_real", 0)
    if n > n_real:
        yield f"only {count_noun(n_real, 'row')} for {n:,} samples: many metrics depend on both numbers"
    accuracy = (metadata.get("classifier") or {}).get("accuracy")
    if accuracy and accuracy["high"] < WEAK_CLASSIFIER:
        yield f"the classifier is {format_accuracy(accuracy, metadata['split'])}"


def _next_step(results: Sequence[MetricResult], n_real: int) -> str:
    if not any(result.anchors for result in results):
        return "add data: there are no held-out rows to compare with"
    if metrics_showing_noise(results):
        return "train longer, or use another recipe: the model is no better than noise"
    if metrics_showing_collapse(results):
        return "train with another recipe or more regularisation: samples repeat"
    if metrics_showing_copies(results):
        return "see the copies with gancore neighbours MODEL; train less, or on more data"
    differs = differs_from_real(results)
    if main_distance(results) is None and not differs:
        if n_real < FEW_ROWS:
            return f"add data: no distance is trusted on {count_noun(n_real, 'held-out row')}"
        return "inspect samples, or choose other metrics: no distance is trusted here"
    if differs is False:
        return "inspect samples: these metrics do not distinguish them from real rows"
    return "train longer, and compare recipes: gancore compare"


def format_number(value: float | None) -> str:
    """Three significant figures; from a thousand on, as ``1,399``."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def format_accuracy(accuracy: Mapping[str, Any], split: str) -> str:
    """An accuracy as text: ``right on 98.7 % of 302 rows of test (96.6 to 99.6)``."""
    value, low, high = (100 * accuracy[name] for name in ("value", "low", "high"))
    return f"right on {value:.1f} % of {accuracy['n']:,} rows of {split} ({low:.1f} to {high:.1f})"


CONTROLS = ("real", "noise", "collapse")
MATCHED = "as many"
"""The column of values for as many samples as the controls have rows; hidden if all equal ``value``."""
COLUMNS = ("metric", "value", "95 % interval", MATCHED, *CONTROLS, "best", "unit", "trust")
RIGHT_ALIGNED, MIN_WIDTHS = {"value", "95 % interval", MATCHED, *CONTROLS}, {"unit": 10, "trust": 12}
"""Right-aligned columns; minimal widths of columns of words, in characters."""
NARROW_WIDTH, HIDDEN_WHEN_NARROW = 120, {"noise", "collapse", "best"}
"""In terminals of fewer characters the table has no such columns; JSON and the file of the run have them."""
DEFAULT_WIDTH = 140
"""Width of the table if the output is not a terminal."""


def print_report(evaluation: EvaluationResult) -> None:
    """Print summary, table and footnotes on stdout."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=DEFAULT_WIDTH)
    if any(not result.skipped for result in evaluation):
        for line in summary(evaluation):
            console.print(escape_control(line), markup=False, soft_wrap=True)
        console.print(build_table(evaluation, console.width))
    for table in evaluation.tables:
        console.print(to_rich(table, evaluation.model))
        console.print(escape_control(table.note), markup=False, soft_wrap=not console.is_terminal)
    for line in footnotes(evaluation):
        console.print(escape_control(line), markup=False, soft_wrap=not console.is_terminal)


def build_table(evaluation: EvaluationResult, width: int = DEFAULT_WIDTH) -> Table:
    """Build the table with one row for each computed result.

    In a narrow terminal it has no negative controls, so that unit and trust are readable.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=SIMPLE_HEAD, title=Text(escape_control(evaluation.model)), title_justify="left", pad_edge=False
    )
    narrow = width < NARROW_WIDTH
    hidden = set(HIDDEN_WHEN_NARROW) if narrow else set()
    if all(result.matched in (None, result.value) for result in evaluation):
        hidden.add(MATCHED)
    visible = [index for index, name in enumerate(COLUMNS) if name not in hidden]
    for index in visible:
        name = COLUMNS[index]
        table.add_column(
            name,
            justify="right" if name in RIGHT_ALIGNED else "left",
            style="dim" if name in CONTROLS else None,
            no_wrap=name not in MIN_WIDTHS and not (narrow and name == "95 % interval"),
            min_width=MIN_WIDTHS.get(name),
            overflow="fold",
        )
    for result in evaluation:
        if not result.skipped:
            cells = [Text(escape_control(cell)) for cell in _cells(result)]
            table.add_row(*(cells[index] for index in visible), style=None if result.trusted else "yellow")
    return table


def _cells(result: MetricResult) -> list[str]:
    """The cells of :data:`COLUMNS`."""
    interval = "" if result.low is None else f"{format_cell(result.low)} to {format_cell(result.high)}"
    return [
        result.metric,
        format_cell(result.value),
        interval,
        format_cell(result.matched),
        *(format_cell(result.anchors.get(name)) for name in CONTROLS),
        _best(result),
        result.unit,
        result.trust.removesuffix(" by definition"),
    ]


def _best(result: MetricResult) -> str:
    if result.ideal is not None:
        return f"{result.ideal:g}"
    return {True: "high", False: "low", None: ""}[result.higher_is_better]


def format_cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def footnotes(evaluation: EvaluationResult) -> Iterator[str]:
    """The lines below the table: on what its values depend."""
    metadata = evaluation.metadata
    yield (
        f"n: {metadata['n']:,} samples (seed {metadata['seed']}), {count_noun(metadata['n_real'], 'row')} of "
        f"{metadata['split']} of {metadata['source']}; intervals are over samples, not over trainings"
    )
    controls = metadata["anchors"]
    reduced = sorted({r.n_anchors for r in evaluation if 0 < r.n_anchors < controls["n"]})
    exception = f" ({reduced[0]:,} for extractors that were trained on the other rows)" if reduced else ""
    yield (
        f"controls: {count_noun(controls['n'], 'row')} each{exception}; {controls['real']}; "
        f"noise: {controls['noise']}; collapse: {controls['collapse']}"
    )
    searched, train = metadata.get("n_train", 0), metadata.get("train_size") or 0
    if searched < train:
        yield f"train: memorization metrics search {searched:,} of {train:,} rows"
    if any(result.matched not in (None, result.value) for result in evaluation):
        yield "as many: the value for as many samples as the controls have rows, for comparison with them"
    if any(" by definition" in result.trust for result in evaluation):
        yield "blind: by its definition, the metric does not distinguish that control from real rows"
    if metadata["features"]:
        yield f"features: {_describe_extractor(metadata['features'])}"
    if metadata["classifier"]:
        classifier = metadata["classifier"]
        accuracy = (
            f", {format_accuracy(classifier['accuracy'], metadata['split'])}"
            if "accuracy" in classifier
            else ""
        )
        yield f"classifier: {_describe_extractor(classifier)}{accuracy}"
    if metadata["note"]:
        yield f"note: {metadata['note']}"
    yield from (f"note: {note}" for note in dict.fromkeys(r.note for r in evaluation if r.note))
    for result in evaluation:
        if result.skipped:
            yield f"left out: {result.metric}: {result.skipped}"


def _describe_extractor(features: Mapping[str, Any]) -> str:
    frechet = f"; frechet is the {features['frechet']}" if features.get("frechet") else ""
    return f"{features['name']} ({features['hash'][:12]}){frechet}"


def write_to_card(folder: Path, evaluation: EvaluationResult) -> None:
    """Replace the metrics in the README.md of the model by the trusted results.

    If the card is a link, as in caches of downloaded models, the new card replaces the link, and the target
    of the link stays unchanged.

    Raises:
        CheckpointError: there is no card, or it cannot be written.
    """
    from gancore.models.card import with_metrics
    from gancore.models.folder import CARD

    file = folder / CARD
    try:
        card = read_regular(file.resolve(), MAX_JSON_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file} cannot be read", "leave out --update-card") from error
    facts = [card_fact(result) for result in evaluation if result.trusted and not result.skipped]
    tables = [to_markdown(table, "samples") for table in evaluation.tables]
    atomic_write(file, with_metrics(card, facts, tables))


def card_fact(result: MetricResult) -> CardMetric:
    from gancore.models.card import CardMetric

    features = f", features {result.features} ({result.features_hash[:12]})" if result.features else ""
    bounds = None if result.low is None or result.high is None else (result.low, result.high)
    reference = f"{count_noun(result.n_real, 'row')} of {result.split} of {result.source}{features}"
    value = float("nan") if result.value is None else result.value
    return CardMetric(
        result.metric, value, result.unit, result.n, reference, bounds, result.anchors, _best(result)
    )
