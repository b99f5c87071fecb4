"""Writes the verdict of a comparison by stated rules, and a summary of a few lines; imports no torch.

A recipe is better only if the intervals do not overlap in any pair of trials. The statement is about recipes
in general, beyond the models trained here, only if the variance over seeds supports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

from gancore.comparison.analysis import Analysis, MetricComparison, seed_difference_interval
from gancore.comparison.formatting import format_direction, format_number, join_names
from gancore.evaluation.report import (
    MAX_LINES,
    MAX_WIDTH,
    metrics_showing_collapse,
    metrics_showing_copies,
    metrics_showing_noise,
    shorten_line,
)
from gancore.evaluation.result import MetricResult
from gancore.text import count_noun

RULES = {
    "headline": "The verdict is about the metric that the domain prefers. The metric must have an interval"
    " for every model, be trusted on these data and be sensitive to every control; if the preferred metric"
    " is not suitable, the verdict is about the first metric of the table that is.",
    "left out": "The controls of some metrics are scored by each model itself, as by its likelihood. If such"
    " a metric is trusted for at least two recipes, it compares these, and is silent about the others. If no"
    " other metric can decide, recipes for which it was not computed are left out, too.",
    "next": "What to do if there is no verdict.",
    "fault": "Noise, and a few repeated rows (collapse), are evaluated in the same way as samples. A recipe"
    " is no better than noise if the first distance, or more than half of the metrics that are sensitive to"
    " noise, show it for every trial. It is collapsed if more than half of the metrics of diversity show it"
    " and its samples are nearer to each other than 0.9 of the distance between real rows. It copies train"
    " if more than half of the metrics of memorization show it.",
    "better": "A recipe is better than another by a metric if three conditions hold: the 95 % intervals over"
    " samples of all its trials are on the better side of those of the other recipe; it is better than the"
    " bad controls; the other recipe is worse than held-out real rows, because nothing can be better than"
    " these.",
    "lead": "The recipe with the best mean over seeds leads, together with every recipe that it is not better"
    " than by that rule.",
    "seeds": "The statement is about recipes, beyond the models trained here, if Welch's interval of the"
    " difference of means over seeds excludes zero, at 95 % for all pairs together (Bonferroni). The variance"
    " is the larger one of the variances over seeds and over samples.",
    "gan": "The best recipe with several players is compared with the best of the others, by the same rule.",
    "real": "Held-out real rows, evaluated in the same way with the same number of rows, are the optimum: a"
    " recipe is not distinguishable from them by a metric if no trial is worse by more than the two intervals"
    " allow, at 95 % for all metrics and trials together (Bonferroni). The other end of the scale is noise;"
    " it is collapse for a metric that is not sensitive to noise.",
    "others": "For every other metric that is trusted and has all intervals: whether the best recipe leads"
    " alone, leads together with others, or does not lead.",
    "trust": "A metric is left out if it does not order its controls correctly on these data: real rows must"
    " be better than noise and collapse, if the metric is sensitive to them.",
    "spent": "A budget in time is converted to a number of steps at the start of a training, by timing a few"
    " steps. If the speed of the machine changes, the training takes another time. Differences of 10 % and"
    " more are reported.",
    "unfinished": "A recipe was still improving if its selected model is its last one.",
}
"""The rule of each statement, as it is printed on the page."""

UNEVEN_TIME_RATIO = 1.1
"""The smallest ratio of the longest to the shortest training at which times are reported as different."""
NO_METRIC = "No verdict: no metric is trusted and has an interval for all recipes."
MAX_RECIPES = 4
"""The largest number of recipes that have a line of their own in the summary."""


@dataclass(frozen=True)
class Statement:
    """A statement of the verdict. ``rule`` is a key of :data:`RULES`, or the subject of the statement."""

    rule: str
    text: str


@dataclass(frozen=True)
class VerdictInputs:
    """The inputs of a verdict. Mappings are by name of the recipe, ``failures`` by trial.

    ``kinds``: "GAN", "likelihood model", ..., if known. ``still_improving``: recipes whose selected model is
    their last one. ``tradeoffs``: statements about trade-offs. ``training_seconds``: means over seeds, if the
    budget is a time.
    """

    analysis: Analysis
    budget: str
    machine: str = ""
    kinds: Mapping[str, str] | None = None
    still_improving: Sequence[str] = ()
    failures: Mapping[str, str] | None = None
    tradeoffs: Sequence[str] = ()
    training_seconds: Mapping[str, float] | None = None


def write_verdict(inputs: VerdictInputs) -> list[Statement]:
    """Write the statements: first the verdict, then its reasons and limits."""
    comparison = inputs.analysis.headline
    following = []
    if len(inputs.analysis.names) < 2:
        statements = [_no_verdict(inputs.analysis.names)]
    elif comparison is None:
        statements = [Statement("headline", NO_METRIC)]
        following = [Statement("next", f"next: {_next_step(inputs.analysis)}.")]
    else:
        rules = (_faults, _lead, _left_out, _values, _seeds, _gan_or_not, _against_real, _other_metrics)
        statements = [statement for rule in rules for statement in rule(inputs, comparison)]
    tradeoffs = [Statement("costs", " ".join(inputs.tradeoffs))] if inputs.tradeoffs else []
    return [*statements, *_distrusted(inputs), *tradeoffs, *_scope(inputs), *following]


def _no_verdict(names: Sequence[str]) -> Statement:
    if not names:
        return Statement("headline", "No verdict: no trial has been trained and evaluated.")
    return Statement("headline", f"No verdict: only {names[0]} was evaluated.")


def _faults(inputs: VerdictInputs, headline: MetricComparison) -> list[Statement]:
    """Statements about faults that all trials of a recipe have."""
    statements = []
    for name in [*headline.ranked(), *headline.left_out]:
        seeds = inputs.analysis.readings_of(name)
        by = {
            "is no better than noise": _by_all(metrics_showing_noise, seeds),
            "is collapsed": _by_all(metrics_showing_collapse, seeds),
            "copies train": _by_all(metrics_showing_copies, seeds),
        }
        faults = [f"{fault} (by {join_names(metrics)})" for fault, metrics in by.items() if metrics]
        if faults:
            statements.append(Statement("fault", f"{name} {' and '.join(faults)}."))
    return statements


def _by_all(
    fault: Callable[[Sequence[MetricResult]], list[str]], seeds: Sequence[Sequence[MetricResult]]
) -> list[str]:
    """The metrics that show the fault in every trial."""
    by_seed = [fault(readings) for readings in seeds]
    return [metric for metric in by_seed[0] if all(metric in each for each in by_seed)] if by_seed else []


def _deciding(inputs: VerdictInputs, name: str) -> list[MetricComparison]:
    return [f for f in inputs.analysis.among_trusted if f.is_decisive and name in f.results]


def _left_out(inputs: VerdictInputs, comparison: MetricComparison) -> list[Statement]:
    """Recipes for which the metric of the verdict is not trusted, or was not computed."""
    texts = [f"for {name} ({reason})" for name, reason in comparison.left_out.items()]
    if not texts:
        return []
    silent = f"so nothing is said here of {join_names(list(comparison.left_out))}"
    return [Statement("left out", f"{comparison.metric} is not used {join_names(texts)}, {silent}.")]


def _next_step(analysis: Analysis) -> str:
    """What may lead to a verdict, where no metric can compare two recipes."""
    own = [comparison for comparison in analysis if not comparison.shares_controls]
    doubted = [name for name in analysis.names if any(_is_distrusted(comparison, name) for comparison in own)]
    if doubted:
        names = join_names(doubted)
        return f"train {names} longer, or compare with other recipes"
    if any(comparison.distrust_reason for comparison in analysis):
        n_real = max(comparison.first.n_real for comparison in analysis)
        return f"add data: no metric is trusted on {count_noun(n_real, 'held-out row')}"
    return "compare recipes that have a metric with an interval in common, with more samples (-n)"


def _is_distrusted(comparison: MetricComparison, name: str) -> bool:
    return name in comparison.results and bool(comparison.results[name].distrust_reason)


def _lead(inputs: VerdictInputs, comparison: MetricComparison) -> list[Statement]:
    best, *others = comparison.ranked()
    not_separated = [name for name in others if not comparison.is_better(best, name)]
    worse = [name for name in others if name not in not_separated]
    name = comparison.metric
    if all(map(comparison.is_bad, comparison.results)):
        return [Statement("lead", f"On {name}, no recipe leads: none is better than every bad control.")]
    if not not_separated:
        return [Statement("lead", f"On {name}, {best} is better than {join_names(worse)}.")]
    near = join_names(not_separated)
    if worse:
        text = f"On {name}, {best} has the best value and nothing separates it from {near}"
        return [Statement("lead", f"{text}; it is better than {join_names(worse)}.")]
    lead = Statement("lead", f"On {name}, nothing separates the best, {best}, from {near}.")
    pairs = [f"{a} is better than {b}" for a, b in permutations(others, 2) if comparison.is_better(a, b)]
    return [lead, Statement("better", f"Of the others, {join_names(pairs)}.")] if pairs else [lead]


def _values(inputs: VerdictInputs, comparison: MetricComparison) -> list[Statement]:
    parts = [f"{name} {_value_with_intervals(comparison, name)}" for name in comparison.ranked()]
    unit = f", in {comparison.first.unit}" if comparison.first.unit else ""
    direction = format_direction(comparison.higher, comparison.first.ideal)
    return [
        Statement(
            "better",
            f"{comparison.metric}{unit}, {direction}: {'; '.join(parts)}.",
        )
    ]


def _value_with_intervals(comparison: MetricComparison, name: str) -> str:
    """The mean over seeds, with the interval over samples of each seed."""
    result = comparison.results[name]
    bounds = [
        f"{format_number(low)} to {format_number(high)}"
        for low, high in zip(result.lows, result.highs, strict=True)
    ]
    return f"{format_number(result.value)} ({', '.join(bounds)})"


def _seeds(inputs: VerdictInputs, comparison: MetricComparison) -> list[Statement]:
    leaders, counts = comparison.leaders(), {len(each.values) for each in comparison.results.values()}
    if counts == {1}:
        return [Statement("seeds", "Each recipe was trained once: the effect of the seed is unknown.")]
    best = leaders[0]
    others = [name for name in comparison.ranked() if name not in leaders]
    if not others:
        return []
    pairs = len(list(combinations(comparison.results, 2)))
    excluded: list[str] = []
    not_excluded: list[str] = []
    for other in others:
        bounds = seed_difference_interval(comparison.results[best], comparison.results[other], pairs)
        is_excluded = bounds is not None and (bounds[0] > 0 or bounds[1] < 0)
        (excluded if is_excluded else not_excluded).append(other)
    parts = []
    if excluded:
        text = f"{best} is better than {join_names(excluded)}"
        parts.append(f"{text}: the difference also exceeds the variation over seeds.")
    if not_excluded:
        text = f"{best} is better than {join_names(not_excluded)} for every model trained here"
        seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
        spread = f"the variation over {seeds} seeds"
        parts.append(f"{text}; {spread} is too large to conclude that for the recipes.")
    return [Statement("seeds", " ".join(parts))]


def best_gan_and_other(inputs: VerdictInputs, comparison: MetricComparison) -> tuple[str, str] | None:
    """The best GAN and the best recipe that is not a GAN; None if one of them is missing."""
    kinds = inputs.kinds or {}
    ranked = [name for name in comparison.ranked() if name in kinds]
    gan = next((name for name in ranked if kinds[name] == "GAN"), None)
    other = next((name for name in ranked if kinds[name] != "GAN"), None)
    return None if gan is None or other is None else (gan, other)


def _gan_or_not(inputs: VerdictInputs, comparison: MetricComparison) -> list[Statement]:
    both, kinds = best_gan_and_other(inputs, comparison), inputs.kinds or {}
    if both is None:
        return []
    gan, other = both
    by = f"Is a GAN worth it here? By {comparison.metric}"
    best = f"the best GAN, {gan} ({_value(comparison, gan)})"
    rival = f"the {kinds[other]} {other} ({_value(comparison, other)})"
    if comparison.is_better(gan, other):
        return [Statement("gan", f"{by}, yes: {best}, is better than {rival}, the best of the others.")]
    if comparison.is_better(other, gan):
        return [Statement("gan", f"{by}, no: {best}, is worse than {rival}.")]
    return [Statement("gan", f"{by} this is undecided: nothing separates {best}, from {rival}.")]


def _value(comparison: MetricComparison, name: str) -> str:
    return format_number(comparison.results[name].value)


def _against_real(inputs: VerdictInputs, comparison: MetricComparison) -> list[Statement]:
    best = comparison.leaders()[0]
    real = comparison.results[best].anchors("real")
    deciding = _deciding(inputs, best)
    comparisons = sum(len(f.results[best].readings) for f in deciding)
    if comparison.matches_real(best, comparisons):
        text = f"By {comparison.metric}, at this n, {best} is not distinguishable from held-out real rows"
        others = [f.metric for f in deciding if f.worse_than_real(best, comparisons)]
        rest = f"; by {join_names(others)} it is" if others else ""
        return [Statement("real", f"{text} ({format_number(real)}){rest}.")]
    closed = comparison.gap_closed(best)
    if closed is None:
        return []
    result = comparison.results[best]
    share = f"{best} has gone {format_number(100 * closed)} % of the way there"
    bad = f"{comparison.first.bad_control} ({format_number(result.anchors(comparison.first.bad_control))})"
    matched = f" at {comparison.first.n_anchors:,} samples, where {best} has {format_number(result.matched)}"
    matched = matched if result.matched != result.value else ""
    return [Statement("real", f"Held-out real rows have {format_number(real)}{matched}: {share} from {bad}.")]


def _other_metrics(inputs: VerdictInputs, headline: MetricComparison) -> list[Statement]:
    """Whether the recipe that leads by the headline metric also leads by the other metrics."""
    best = headline.leaders()[0]
    rest = [comparison for comparison in _deciding(inputs, best) if comparison.metric != headline.metric]
    rest = [comparison for comparison in rest if len(comparison.results) > 1]
    none_better_than_controls = [f.metric for f in rest if all(map(f.is_bad, f.results))]
    rest = [f for f in rest if f.metric not in none_better_than_controls]
    alone = [f.metric for f in rest if f.leaders() == [best]]
    shared = [f.metric for f in rest if f.is_leader(best) and f.leaders() != [best]]
    tied = [f.metric for f in rest if len(f.leaders()) == len(f.results)]
    behind = [f"{f.metric} ({join_names(f.leaders())})" for f in rest if best not in f.leaders()]
    no_lead = f"no recipe is better than every bad control on {join_names(none_better_than_controls)}"
    parts = [
        text
        for text, names in (
            (f"{best} leads alone on {join_names(alone)}", alone),
            (f"{best} shares the lead on {join_names(shared)}", shared),
            (f"{best} is behind on {'; '.join(behind)}", behind),
            (f"nothing separates them on {join_names(tied)}", tied),
            (no_lead, none_better_than_controls),
        )
        if names
    ]
    return [Statement("others", f"By the other trusted metrics, {'; '.join(parts)}.")] if parts else []


def _distrusted(inputs: VerdictInputs) -> list[Statement]:
    compared = inputs.analysis.among_trusted
    metrics = [f"{f.metric} ({f.distrust_reason})" for f in compared if f.distrust_reason]
    parts = [f"Not trusted on these data, and left out: {'; '.join(metrics)}."] if metrics else []
    partly = [f"{f.metric} for {join_names(list(f.left_out))}" for f in compared if f.left_out]
    parts += [f"Not used for these recipes alone: {'; '.join(partly)}."] if partly else []
    return [Statement("trust", " ".join(parts))] if parts else []


def _scope(inputs: VerdictInputs) -> list[Statement]:
    statements = [
        Statement("failed", f"{name} failed: {reason}.") for name, reason in (inputs.failures or {}).items()
    ]
    if inputs.still_improving:
        verb = "was" if len(inputs.still_improving) == 1 else "were"
        text = f"{join_names(inputs.still_improving)} {verb} still improving when the budget was used up"
        statements.append(Statement("unfinished", f"{text}: with a larger budget the order may change."))
    statements += _uneven_time(inputs.training_seconds or {})
    where = f" on {inputs.machine}" if inputs.machine else ""
    text = f"This holds only for these data and {inputs.budget} of training each{where}."
    return [*statements, Statement("limits", text)]


def _uneven_time(seconds: Mapping[str, float]) -> list[Statement]:
    """The shortest and the longest training, if their times differ by 10 % or more."""
    if not seconds:
        return []
    least, most = min(seconds, key=seconds.__getitem__), max(seconds, key=seconds.__getitem__)
    if seconds[most] <= UNEVEN_TIME_RATIO * seconds[least]:
        return []
    text = f"Training times differ: {least} {seconds[least]:.0f} s, {most} {seconds[most]:.0f} s"
    return [Statement("spent", f"{text} (means over seeds).")]


def summarise(inputs: VerdictInputs) -> list[str]:
    """Summarise the verdict in at most eight lines of at most 80 columns.

    The lines are the leader, each recipe relative to real rows, whether a GAN is better, and metrics that are
    not trusted.
    """
    comparison = inputs.analysis.headline
    distrusted = [f.metric for f in inputs.analysis.among_trusted if f.distrust_reason]
    lines = [_summary_headline(inputs, comparison)]
    if comparison is not None:
        ranked = comparison.ranked()
        lines += [f"  {_summary_recipe(inputs, comparison, name)}" for name in ranked[:MAX_RECIPES]]
        parts = [("further down", ranked[MAX_RECIPES:]), ("left out", list(comparison.left_out))]
        if rest := [f"{label}: {join_names(names)}" for label, names in parts if names]:
            lines.append(f"  {'; '.join(rest)}")
        lines += _summary_gan(inputs, comparison)
    if distrusted:
        lines.append(f"not trusted here: {join_names(distrusted)}")
    if comparison is None and len(inputs.analysis.names) > 1:
        lines.append(f"next: {_next_step(inputs.analysis)}")
    return [shorten_line(line) for line in lines][:MAX_LINES]


def _summary_headline(inputs: VerdictInputs, comparison: MetricComparison | None) -> str:
    if comparison is None:
        return NO_METRIC
    best, *others = comparison.ranked()
    worse = [name for name in others if comparison.is_better(best, name)]
    if all(map(comparison.is_bad, comparison.results)):
        return f"By {comparison.metric} no recipe leads: none is better than noise or a collapse."
    if not others:
        return f"Only {best} was evaluated, by {comparison.metric}."
    if not worse:
        return f"By {comparison.metric} nothing separates the best, {best}, from the others."
    tied = [name for name in others if name not in worse]
    with_others = f" (level with {join_names(tied)})" if tied else ""
    line = f"By {comparison.metric} {best}{with_others} is better than {join_names(worse)}."
    if tied and len(line) > MAX_WIDTH:
        line = f"By {comparison.metric} {best} is best, level with {len(tied)} of {len(others)} others."
    return line


def _summary_recipe(inputs: VerdictInputs, comparison: MetricComparison, name: str) -> str:
    """One recipe, as ``specgan: 46.0, 98 % of the way from noise to real; copies train``."""
    result, closed = comparison.results[name], comparison.gap_closed(name)
    deciding = _deciding(inputs, name)
    comparisons = sum(len(f.results[name].readings) for f in deciding)
    is_worse = any(f.worse_than_real(name, comparisons) for f in deciding)
    if not is_worse and comparison.matches_real(name, comparisons):
        rank = "not distinguishable from real rows"
    elif closed is None:
        rank = "not compared with real rows"
    else:
        rank = f"{100 * closed:.0f} % of the way from {comparison.first.bad_control} to real"
    seeds = inputs.analysis.readings_of(name)
    finders = {
        "no better than noise": metrics_showing_noise,
        "collapsed": metrics_showing_collapse,
        "copies train": metrics_showing_copies,
    }
    faults = [fault for fault, find in finders.items() if seeds and all(map(find, seeds))]
    return "; ".join([f"{name}: {format_number(result.value)}, {rank}", *faults])


def _summary_gan(inputs: VerdictInputs, comparison: MetricComparison) -> list[str]:
    both = best_gan_and_other(inputs, comparison)
    if both is None:
        return []
    gan, other = both
    if comparison.is_better(gan, other):
        return [f"Is a GAN worth it here? Yes: {gan} is better than {other}."]
    if comparison.is_better(other, gan):
        return [f"Is a GAN worth it here? No: {other} is better than {gan}."]
    return [f"Is a GAN worth it here? Undecided: {gan} and {other} are level."]
