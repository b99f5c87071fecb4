"""The verdict in words, each sentence from a rule that is written down; imports no torch.

Nothing is said to be better unless the intervals are apart in every pair of trainings, and nothing of recipes,
as against the models trained here, unless the spread over seeds bears it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from gancore.comparison.findings import Finding, Findings, difference_over_seeds
from gancore.comparison.words import figure, listed, measured
from gancore.evaluation.reading import TRUSTED

RULES = {
    "headline": "The verdict is about the first measure of the table that is bounded by an interval for every "
    "model, trusted on these data, and holds both known-bad sets (noise, collapse) for worse than real rows.",
    "better": "One recipe is better than another on a measure where the 95 % intervals over samples of all its "
    "trainings lie wholly on the better side of those of all the other's.",
    "lead": "The recipe with the best mean leads, together with all that it is not better than by that rule.",
    "seeds": "Of recipes, rather than of the models trained here, this is said only where Welch's interval of the "
    "difference of means over seeds excludes zero, at 95 % for all pairs together (Bonferroni); the variance over "
    "seeds is never taken for less than that over samples.",
    "gan": "The best recipe with an opponent stands against the best without one, by the same rule.",
    "real": "Held-out real rows, measured alike, are the floor: what reaches them cannot be told from data "
    "by this measure at this n. The way from the noise anchor to this floor is the scale.",
    "others": "Every other measure that is bounded and trusted is asked whether the leader is better than all "
    "others, or another is better than the leader.",
    "trust": "A measure that does not order its anchors on these data (real rows better than noise and than "
    "collapse, where it can see them) takes no part.",
    "unfinished": "A recipe was still improving where the model that was chosen is its last.",
}
"""How each sentence comes about, as the page explains it."""


@dataclass(frozen=True)
class Sentence:
    """``rule`` names the rule in :data:`RULES`, or what the sentence is about."""

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


def judge(case: Case) -> list[Sentence]:
    """The first sentence is the verdict; the others say what it rests on and where it ends."""
    finding = case.findings.headline
    if len(case.findings.names) < 2:
        sentences = [_nobody(case.findings.names)]
    elif finding is None:
        sentences = [
            Sentence("headline", "No verdict: no measure is bounded and trusted for all of them here.")
        ]
    else:
        about = (_lead, _values, _seeds, _worth, _floor, _others)
        sentences = [sentence for rule in about for sentence in rule(case, finding)]
    return [*sentences, *_distrust(case), *_costs(case), *_limits(case)]


def _nobody(names: Sequence[str]) -> Sentence:
    if not names:
        return Sentence("headline", "No verdict: nothing has been trained and measured to its end.")
    return Sentence("headline", f"No verdict: {names[0]} alone was measured, and has nothing beside it.")


def _lead(case: Case, finding: Finding) -> list[Sentence]:
    lead, every, name = finding.lead(), len(finding.standings), finding.measure
    if len(lead) == every:
        return [Sentence("lead", f"On {name}, nothing separates {listed(lead)}: their intervals overlap.")]
    others = [other for other in finding.ranked() if other not in lead]
    if len(lead) == 1:
        return [Sentence("lead", f"On {name}, {lead[0]} is better than {listed(others)}.")]
    text = f"On {name}, {listed(lead)} lead, and nothing separates them from the best, {lead[0]}"
    return [Sentence("lead", f"{text}; {lead[0]} is better than {listed(others)}.")]


def _values(case: Case, finding: Finding) -> list[Sentence]:
    end = "higher" if finding.higher else "lower"
    parts = [f"{name} {measured(finding, name)}" for name in finding.ranked()]
    unit = f", in {finding.first.unit}" if finding.first.unit else ""
    return [Sentence("better", f"{finding.measure}{unit}, {end} is better: {'; '.join(parts)}.")]


def _seeds(case: Case, finding: Finding) -> list[Sentence]:
    lead, counts = finding.lead(), {len(s.values) for s in finding.standings.values()}
    if counts == {1}:
        text = "Each recipe was trained once: whether another seed would end alike is not known."
        return [Sentence("seeds", text)]
    best = lead[0]
    others = [name for name in finding.ranked() if name not in lead]
    if not others:
        return []
    pairs = len(list(combinations(finding.standings, 2)))
    sure, open_ = [], []
    for other in others:
        bounds = difference_over_seeds(finding.standings[best], finding.standings[other], pairs)
        excluded = bounds is not None and (bounds[0] > 0 or bounds[1] < 0)
        (sure if excluded else open_).append(other)
    told = []
    if sure:
        told.append(f"That {best} is better than {listed(sure)} goes beyond the spread over seeds as well")
    if open_:
        few = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        told.append(
            f"Over {listed(open_)}, it is true of every model trained here, but {few} seeds"
            " are too few to say it of the recipes"
        )
    return [Sentence("seeds", f"{'. '.join(told)}.")]


def _worth(case: Case, finding: Finding) -> list[Sentence]:
    kinds = case.kinds or {}
    ranked = [name for name in finding.ranked() if name in kinds]
    gan = next((name for name in ranked if kinds[name] == "GAN"), None)
    other = next((name for name in ranked if kinds[name] != "GAN"), None)
    if gan is None or other is None:
        return []
    beside = f"the best GAN, {gan} ({_value(finding, gan)})", f"{other} ({_value(finding, other)})"
    if finding.apart(gan, other):
        text = f"Is a GAN worth it here? By {finding.measure}, yes: {beside[0]}, is better than the best {kinds[other]}, {beside[1]}."
    elif finding.apart(other, gan):
        text = f"Is a GAN worth it here? By {finding.measure}, no: {beside[0]}, loses to the {kinds[other]} {beside[1]}."
    else:
        text = (
            f"Is a GAN worth it here? By {finding.measure} that cannot be told: the intervals of {beside[0]},"
            f" and of the {kinds[other]} {beside[1]} overlap."
        )
    return [Sentence("gan", text)]


def _value(finding: Finding, name: str) -> str:
    return figure(finding.standings[name].value)


def _floor(case: Case, finding: Finding) -> list[Sentence]:
    best = finding.lead()[0]
    standing, real = finding.standings[best], finding.first.anchors["real"]
    reached = [
        low <= real <= high or finding.beats(low if finding.higher else high, real)
        for low, high in zip(standing.lows, standing.highs, strict=True)
    ]
    if all(reached):
        text = (
            f"By this measure and at this n, {best} cannot be told from held-out real rows ({figure(real)})."
        )
        return [Sentence("real", text)]
    closed = finding.closed(standing.value)
    if closed is None:
        return []
    text = (
        f"Held-out real rows have {figure(real)}: {best} has gone {100 * closed:.3g} % of the way there"
        f" from the noise anchor ({figure(finding.first.anchors['noise'])})."
    )
    return [Sentence("real", text)]


def _others(case: Case, headline: Finding) -> list[Sentence]:
    """Whether the other measures say the same of the one that leads."""
    best = headline.lead()[0]
    rest = [finding for finding in case.findings if finding.decides and finding is not headline]
    rest = [finding for finding in rest if best in finding.standings and len(finding.standings) > 1]
    if not rest:
        return []
    for_it = [f.measure for f in rest if f.lead() == [best]]
    against = {f.measure: f.lead() for f in rest if best not in f.lead()}
    told = [
        f"Of {len(rest)} other measures that can be trusted, {len(for_it)} also put {best} alone in front"
    ]
    if for_it:
        told[0] += f" ({listed(for_it)})"
    if against:
        told.append(
            f"{len(against)} put{'s' * (len(against) == 1)} others before it: "
            + "; ".join(f"{measure} {listed(lead)}" for measure, lead in against.items())
        )
    left = len(rest) - len(for_it) - len(against)
    if left:
        told.append(f"on {left} it is not apart from the best")
    return [Sentence("others", f"{'; '.join(told)}.")]


def _distrust(case: Case) -> list[Sentence]:
    told = [f"{f.measure} ({f.trust})" for f in case.findings if f.trust != TRUSTED]
    if not told:
        return []
    return [Sentence("trust", f"Not to be trusted on these data, and left out: {'; '.join(told)}.")]


def _costs(case: Case) -> list[Sentence]:
    return [Sentence("costs", text) for text in case.costs]


def _limits(case: Case) -> list[Sentence]:
    told = [
        Sentence("failed", f"{name} did not come through: {reason}.")
        for name, reason in (case.failures or {}).items()
    ]
    if case.unfinished:
        verb = "was" if len(case.unfinished) == 1 else "were"
        text = f"{listed(case.unfinished)} {verb} still improving when the budget was used up"
        told.append(Sentence("unfinished", f"{text}: with more of it the order may be another."))
    where = f" on {case.machine}" if case.machine else ""
    text = f"All of this holds for these data and {case.budget} of training each{where}, and for no more."
    return [*told, Sentence("limits", text)]
