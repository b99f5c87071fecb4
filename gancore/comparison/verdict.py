"""The verdict in words, each statement from a rule that is written down; imports no torch.

Nothing is said to be better unless the intervals are apart in every pair of trainings, and nothing of
recipes, as against the models trained here, unless the spread over seeds bears it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations, permutations

from gancore.comparison.findings import Finding, Findings, difference_over_seeds
from gancore.comparison.words import figure, listed, measured
from gancore.evaluation.reading import Reading
from gancore.evaluation.summary import collapse_by, copies_by, noise_by

RULES = {
    "headline": "The verdict is about the measure that the domain prefers, or else the first of the table,"
    " which has an interval for every model, is trusted on these data, and is blind to no way of being bad.",
    "fault": "Noise, and a collapse onto a few rows, are measured as samples are. A recipe is no better than"
    " noise where the first distance, or more than half of all that see noise, say so of every training; it"
    " is collapsed where more than half of the measures of diversity say so, and copies where those of memory"
    " do.",
    "better": "One recipe is better than another by a measure where the 95 % intervals over samples of its"
    " trainings lie, all of them, wholly on the better side of those of the other's; where it is better than"
    " the bad anchors; and where the other is worse than held-out real rows: nothing is better than these.",
    "lead": "The recipe with the best mean over seeds leads, together with all that it is not better than by"
    " that rule.",
    "seeds": "Of recipes, rather than of the models trained here, this is said only where Welch's interval of"
    " the difference of means over seeds excludes zero, at 95 % for all pairs together (Bonferroni); the"
    " variance over seeds is never taken for less than that over samples.",
    "gan": "The best recipe whose players play against each other stands against the best of the others, by"
    " the same rule.",
    "real": "Held-out real rows, measured alike and at the same number of rows, are the floor: a recipe"
    " cannot be told from them by a measure where no training is worse by more than the two intervals allow,"
    " at 95 % for all measures and trainings together (Bonferroni). Noise, or else collapse, is the other end"
    " of the way.",
    "others": "Every other measure that has its intervals and is trusted is asked whether the best recipe"
    " leads there too, alone or with others, or another is better.",
    "trust": "A measure that does not order its anchors on these data (real rows better than noise and than"
    " collapse, where it can see them) takes no part.",
    "spent": "A budget in seconds becomes rounds when a training begins, by timing some; where the machine"
    " changes its pace, trainings take more or less than that, which is said from a tenth on.",
    "unfinished": "A recipe was still improving where the model that was chosen is its last.",
}
"""How each statement comes about, as the page explains it."""

UNEVEN = 1.1
"""Ratio of the most to the least seconds of training from which budgets are not called equal."""


@dataclass(frozen=True)
class Statement:
    """``rule`` names the rule in :data:`RULES`, or what the statement is about."""

    rule: str
    text: str


@dataclass(frozen=True)
class Case:
    """What a verdict is about. ``kinds``: "GAN", "likelihood model", ... by name, where it is known.

    ``unfinished``: names whose chosen model is their last. ``failures``: by name, in words.
    """

    findings: Findings
    budget: str
    machine: str = ""
    kinds: Mapping[str, str] | None = None
    unfinished: Sequence[str] = ()
    failures: Mapping[str, str] | None = None
    costs: Sequence[str] = ()
    spent: Mapping[str, float] | None = None
    """Seconds of training by name, the mean over seeds, where the budget is of seconds."""


def judge(case: Case) -> list[Statement]:
    """The first statement is the verdict; the others say what it rests on and where it ends."""
    finding = case.findings.headline
    if len(case.findings.names) < 2:
        statements = [_nobody(case.findings.names)]
    elif finding is None:
        statements = [
            Statement("headline", "No verdict: no measure is bounded and trusted for all of them here.")
        ]
    else:
        about = (_faults, _lead, _values, _seeds, _worth, _floor, _others)
        statements = [statement for rule in about for statement in rule(case, finding)]
    return [*statements, *_distrust(case), *_costs(case), *_limits(case)]


def _nobody(names: Sequence[str]) -> Statement:
    if not names:
        return Statement("headline", "No verdict: nothing has been trained and measured to its end.")
    return Statement("headline", f"No verdict: {names[0]} alone was measured, and has nothing beside it.")


def _faults(case: Case, headline: Finding) -> list[Statement]:
    """What is bad about all trainings of a recipe, whoever else is worse."""
    told = []
    for name in headline.ranked():
        seeds = case.findings.readings_of(name)
        by = {
            "no better than noise": _by_all(noise_by, seeds),
            "collapsed": _by_all(collapse_by, seeds),
            "a copyist of train": _by_all(copies_by, seeds),
        }
        bad = [f"{fault} (by {listed(measures)})" for fault, measures in by.items() if measures]
        if bad:
            told.append(Statement("fault", f"{name} is {' and '.join(bad)}."))
    return told


def _by_all(fault: Callable[[Sequence[Reading]], list[str]], seeds: Sequence[Sequence[Reading]]) -> list[str]:
    """The measures that find this fault in every training."""
    found = [fault(readings) for readings in seeds]
    return [measure for measure in found[0] if all(measure in others for others in found)] if found else []


def _deciding(case: Case, name: str) -> list[Finding]:
    return [f for f in case.findings if f.decides and name in f.standings]


def _lead(case: Case, finding: Finding) -> list[Statement]:
    best, *others = finding.ranked()
    near = [name for name in others if not finding.apart(best, name)]
    far = [name for name in others if name not in near]
    name = finding.measure
    if all(map(finding.is_bad, finding.standings)):
        return [Statement("lead", f"On {name}, nobody leads: none is better than every bad anchor.")]
    if not near:
        return [Statement("lead", f"On {name}, {best} is better than {listed(far)}.")]
    if far:
        text = f"On {name}, {best} has the best value and nothing separates it from {listed(near)}"
        return [Statement("lead", f"{text}; it is better than {listed(far)}.")]
    told = [Statement("lead", f"On {name}, nothing separates the best, {best}, from {listed(near)}.")]
    pairs = [f"{a} is better than {b}" for a, b in permutations(others, 2) if finding.apart(a, b)]
    return [*told, Statement("better", f"Further down, {listed(pairs)}.")] if pairs else told


def _values(case: Case, finding: Finding) -> list[Statement]:
    end = "higher" if finding.higher else "lower"
    parts = [f"{name} {measured(finding, name)}" for name in finding.ranked()]
    unit = f", in {finding.first.unit}" if finding.first.unit else ""
    return [Statement("better", f"{finding.measure}{unit}, {end} is better: {'; '.join(parts)}.")]


def _seeds(case: Case, finding: Finding) -> list[Statement]:
    lead, counts = finding.lead(), {len(s.values) for s in finding.standings.values()}
    if counts == {1}:
        text = "Each recipe was trained once: whether another seed would end alike is not known."
        return [Statement("seeds", text)]
    best = lead[0]
    others = [name for name in finding.ranked() if name not in lead]
    if not others:
        return []
    pairs = len(list(combinations(finding.standings, 2)))
    sure: list[str] = []
    open_: list[str] = []
    for other in others:
        bounds = difference_over_seeds(finding.standings[best], finding.standings[other], pairs)
        excluded = bounds is not None and (bounds[0] > 0 or bounds[1] < 0)
        (sure if excluded else open_).append(other)
    told = []
    if sure:
        told.append(f"That {best} is better than {listed(sure)} goes beyond the spread over seeds as well.")
    if open_:
        text = f"That {best} is better than {listed(open_)} holds for every model trained here"
        told.append(f"{text}; the spread over {_range(counts)} seeds does not bear it out for the recipes.")
    return [Statement("seeds", " ".join(told))]


def _range(counts: Set[int]) -> str:
    return " to ".join(map(str, sorted({min(counts), max(counts)})))


def best_of_both(case: Case, finding: Finding) -> tuple[str, str] | None:
    """The best GAN and the best of the others; None where there is not one of each."""
    kinds = case.kinds or {}
    ranked = [name for name in finding.ranked() if name in kinds]
    gan = next((name for name in ranked if kinds[name] == "GAN"), None)
    other = next((name for name in ranked if kinds[name] != "GAN"), None)
    return None if gan is None or other is None else (gan, other)


def _worth(case: Case, finding: Finding) -> list[Statement]:
    both, kinds = best_of_both(case, finding), case.kinds or {}
    if both is None:
        return []
    gan, other = both
    by = f"Is a GAN worth it here? By {finding.measure}"
    best = f"the best GAN, {gan} ({_value(finding, gan)})"
    rival = f"the {kinds[other]} {other} ({_value(finding, other)})"
    if finding.apart(gan, other):
        return [Statement("gan", f"{by}, yes: {best}, is better than {rival}, the best of the others.")]
    if finding.apart(other, gan):
        return [Statement("gan", f"{by}, no: {best}, loses to {rival}.")]
    return [Statement("gan", f"{by} that cannot be told: nothing separates {best}, from {rival}.")]


def _value(finding: Finding, name: str) -> str:
    return figure(finding.standings[name].value)


def _floor(case: Case, finding: Finding) -> list[Statement]:
    best = finding.lead()[0]
    real = finding.standings[best].anchors("real")
    deciding = _deciding(case, best)
    comparisons = sum(len(f.standings[best].readings) for f in deciding)
    if finding.reaches_real(best, comparisons):
        told = f"By {finding.measure}, at this n, {best} cannot be told from held-out real rows"
        others = [f.measure for f in deciding if f.is_told(best, comparisons)]
        rest = f"; by {listed(others)} it can" if others else ""
        return [Statement("real", f"{told} ({figure(real)}){rest}.")]
    closed = finding.closed(best)
    if closed is None:
        return []
    standing = finding.standings[best]
    way = f"{best} has gone {figure(100 * closed)} % of the way there"
    bad = f"{finding.first.bad} ({figure(standing.anchors(finding.first.bad))})"
    alike = f" at {finding.first.n_anchors:,} samples, where {best} has {figure(standing.matched)}"
    beside = alike if standing.matched != standing.value else ""
    return [Statement("real", f"Held-out real rows have {figure(real)}{beside}: {way} from {bad}.")]


def _others(case: Case, headline: Finding) -> list[Statement]:
    """Whether the other measures say the same of the one that leads."""
    best = headline.lead()[0]
    rest = [finding for finding in _deciding(case, best) if finding is not headline]
    rest = [finding for finding in rest if len(finding.standings) > 1]
    hopeless = [f.measure for f in rest if all(map(f.is_bad, f.standings))]
    rest = [f for f in rest if f.measure not in hopeless]
    alone = [f.measure for f in rest if f.lead() == [best]]
    shared = [f.measure for f in rest if f.leads(best) and f.lead() != [best]]
    level = [f.measure for f in rest if len(f.lead()) == len(f.standings)]
    behind = [f"{f.measure} ({listed(f.lead())})" for f in rest if best not in f.lead()]
    told = [
        text
        for text, names in (
            (f"{best} leads alone on {listed(alone)}", alone),
            (f"{best} shares the lead on {listed(shared)}", shared),
            (f"{best} is behind on {'; '.join(behind)}", behind),
            (f"nothing separates them on {listed(level)}", level),
            (f"nobody is better than every bad anchor on {listed(hopeless)}", hopeless),
        )
        if names
    ]
    return (
        [Statement("others", f"By the other measures that can be trusted, {'; '.join(told)}.")]
        if told
        else []
    )


def _distrust(case: Case) -> list[Statement]:
    told = [f"{f.measure} ({f.distrust})" for f in case.findings if f.distrust]
    if not told:
        return []
    return [Statement("trust", f"Not to be trusted on these data, and left out: {'; '.join(told)}.")]


def _costs(case: Case) -> list[Statement]:
    return [Statement("costs", " ".join(case.costs))] if case.costs else []


def _limits(case: Case) -> list[Statement]:
    told = [
        Statement("failed", f"{name} did not come through: {reason}.")
        for name, reason in (case.failures or {}).items()
    ]
    if case.unfinished:
        verb = "was" if len(case.unfinished) == 1 else "were"
        text = f"{listed(case.unfinished)} {verb} still improving when the budget was used up"
        told.append(Statement("unfinished", f"{text}: with more of it the order may be another."))
    told += _spent(case.spent or {})
    where = f" on {case.machine}" if case.machine else ""
    text = f"All of this holds for these data and {case.budget} of training each{where}, and for no more."
    return [*told, Statement("limits", text)]


def _spent(spent: Mapping[str, float]) -> list[Statement]:
    """Whoever took the least, and the most, where these are not one budget."""
    if not spent:
        return []
    least, most = min(spent, key=spent.__getitem__), max(spent, key=spent.__getitem__)
    if spent[most] <= UNEVEN * spent[least]:
        return []
    text = f"The trainings did not take alike: {least} {spent[least]:.0f} s, {most} {spent[most]:.0f} s"
    return [Statement("spent", f"{text}, in the mean over seeds.")]
