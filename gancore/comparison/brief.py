"""A comparison in at most eight lines of plain words, each at most 80 columns wide; imports no torch."""

from __future__ import annotations

from gancore.comparison.findings import Finding
from gancore.comparison.verdict import Case, best_of_both
from gancore.comparison.words import figure, listed
from gancore.evaluation.summary import MOST, collapse_by, copies_by, cut, noise_by

MOST_RECIPES = 4


def brief(case: Case) -> list[str]:
    """Who leads, each recipe beside real rows, whether a GAN is worth it, what to distrust."""
    finding = case.findings.headline
    distrusted = [f.measure for f in case.findings if f.distrust]
    lines = [_lead(case, finding)]
    if finding is not None:
        ranked = finding.ranked()
        lines += [f"  {_recipe(case, finding, name)}" for name in ranked[:MOST_RECIPES]]
        if more := ranked[MOST_RECIPES:]:
            lines.append(f"  further down: {listed(more)}")
        lines += _worth(case, finding)
    if distrusted:
        lines.append(f"do not trust here: {listed(distrusted)}")
    return [cut(line) for line in lines][:MOST]


def _lead(case: Case, finding: Finding | None) -> str:
    if finding is None:
        return "No verdict: no measure is bounded and trusted for all of them."
    best, *others = finding.ranked()
    far = [name for name in others if finding.apart(best, name)]
    if all(map(finding.is_bad, finding.standings)):
        return f"By {finding.measure} nobody leads: none is better than noise or a collapse."
    if not others:
        return f"{best} alone was measured, by {finding.measure}."
    if not far:
        return f"By {finding.measure} nothing separates the best, {best}, from the others."
    level = [name for name in others if name not in far]
    beside = f" (level with {listed(level)})" if level else ""
    return f"By {finding.measure} {best}{beside} is better than {listed(far)}."


def _recipe(case: Case, finding: Finding, name: str) -> str:
    """``specgan: 46.0, 98 % of the way from noise to real; copies train``"""
    standing, closed = finding.standings[name], finding.closed(name)
    deciding = [f for f in case.findings if f.decides and name in f.standings]
    comparisons = sum(len(f.standings[name].readings) for f in deciding)
    told = any(f.is_told(name, comparisons) for f in deciding)
    if not told and finding.reaches_real(name, comparisons):
        place = "cannot be told from real rows"
    elif closed is None:
        place = "not compared with real rows"
    else:
        place = f"{100 * closed:.0f} % of the way from {finding.first.bad} to real"
    seeds = case.findings.readings_of(name)
    faults = {"no better than noise": noise_by, "collapsed": collapse_by, "copies train": copies_by}
    bad = [fault for fault, by in faults.items() if seeds and all(map(by, seeds))]
    return "; ".join([f"{name}: {figure(standing.value)}, {place}", *bad])


def _worth(case: Case, finding: Finding) -> list[str]:
    both = best_of_both(case, finding)
    if both is None:
        return []
    gan, other = both
    if finding.apart(gan, other):
        return [f"Is a GAN worth it here? Yes: {gan} is better than {other}."]
    if finding.apart(other, gan):
        return [f"Is a GAN worth it here? No: {other} is better than {gan}."]
    return [f"Is a GAN worth it here? It cannot be told: {gan} and {other} are level."]
