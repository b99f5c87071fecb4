"""Faults that leave a plugin running and make its results wrong: each is planted, and its check fails."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import pytest
import torch
from broken_plugins import TAKE, measured
from kit_site import Change, forget
from planted import LABELLED, found
from pydantic import Field, PositiveFloat, PositiveInt
from refusals import refused

from gancore.config import DataConfig
from gancore.data.dataset import Data, Spec, TensorView
from gancore.metrics.metric import Metric
from gancore.random import Key
from gancore.testing import ConformanceKit, data_checks
from gancore.testing.check import CheckFailure
from gancore.testing.data_checks import _others
from gancore.testing.fixtures import DomainFixture
from gancore.testing.metric_checks import ReferenceSets, noise, real_evidence
from gancore.testing.part_fixtures import ToyDomain, toy_fixture

DATA = "        return Data(train, valid, test, "


def before_data(text: str) -> Change:
    """Lines of ``open`` before it returns."""
    return Change("domain.py", DATA, f"        {text}\n{DATA}")


SHARED = {
    "test is train": ("test = train", "test"),
    "half of test is of train": (
        "test.windows = torch.cat([test.windows[:100], train.windows[:100]])",
        "test",
    ),
    "half of valid is of test": (
        "valid.windows = torch.cat([valid.windows[:300], test.windows[:300]])",
        "valid",
    ),
    "a tenth of test is of train": (
        "test.windows = torch.cat([test.windows[:450], train.windows[::140]])",
        "test",
    ),
}


@pytest.mark.parametrize("fault", SHARED)
def test_rows_that_two_splits_share_are_found(site, fault):
    line, split = SHARED[fault]
    result = found(site, "splits_are_disjoint", before_data(line))
    assert result.state == "failed" and split in result.reason and "gancore.data.splits" in result.fix


ALLOWED = {
    "rows that a split holds twice": "train.windows = train.windows.repeat(2, 1)",
    "data of few different rows": "for view in (train, valid, test): view.windows = view.windows.sign()",
    "a collision": "test.windows[0] = train.windows[0]",
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_repeats_itself_by_nature_is_allowed(site, case):
    assert found(site, "splits_are_disjoint", before_data(ALLOWED[case])).state == "ok"


def test_shared_rows_are_found_beneath_random_crops(site):
    """A row's window begins where its key says: the same row gives another one each time."""
    shifted = "start = (key / 'crop').integers(8, len(indices))\n        "
    shifted += "return Batch(torch.stack([row.roll(int(s)) for row, s in zip(self.windows[indices], start)]))"
    crops = Change("domain.py", TAKE, shifted)
    assert found(site, "splits_are_disjoint", crops).state == "ok"
    assert found(site, "splits_are_disjoint", crops, before_data("test = train")).state == "failed"


def unpaired(shared: int, **rows: int) -> DomainFixture:
    """Views of these names and sizes in each split; test shares so many rows of the last one with train."""
    splits = {
        split: {name: TensorView(Key.of(split, name).normal(n, 2)) for name, n in rows.items()}
        for split in ("train", "valid", "test")
    }
    last = list(rows)[-1]
    splits["test"][last].data[:shared] = splits["train"][last].data[:shared]
    return DomainFixture(ToyDomain(), Data(**splits, spec=Spec({})))


def test_the_views_of_a_split_have_their_own_sizes(monkeypatch):
    """Of a large view some rows are looked at, and what of it may stand elsewhere is as much less."""
    monkeypatch.setattr(data_checks, "MOST_ROWS", 64)
    with refused(CheckFailure, "train", "test", fix="gancore.data.splits"):
        data_checks.splits_are_disjoint(unpaired(640, a=3, b=640))
    data_checks.splits_are_disjoint(unpaired(2, a=6400, b=64))


@pytest.mark.parametrize("rows", [1, -1, 2])
def test_labels_that_slipped_to_other_rows_are_found(site, rows):
    assert found(site, "labels_match_their_rows", *LABELLED).state == "ok"
    slipped = before_data(f"train.labels = train.labels.roll({rows})")
    result = found(site, "labels_match_their_rows", *LABELLED, slipped)
    assert result.state == "failed" and ("later" if rows > 0 else "earlier") in result.reason


def test_labels_that_rows_do_not_tell_are_no_fault(site):
    drawn = before_data("train.labels = torch.arange(len(train)) * 7919 % 11 % 4")
    assert found(site, "labels_match_their_rows", *LABELLED, drawn).state == "ok"


FINGERPRINT = 'summary=[f"{len(series)} values"]'


@pytest.mark.parametrize(
    ("fingerprint", "state"),
    [("'constant'", "failed"), ("str(config)", "ok"), ("''", "skipped")],
)
def test_a_fingerprint_moves_with_the_keys_that_change_rows(site, fingerprint, state):
    given = Change("domain.py", FINGERPRINT, f"{FINGERPRINT}, fingerprint={fingerprint}")
    result = found(site, "fingerprints_its_keys", given)
    assert result.state == state
    assert state != "failed" or ("data.length" in result.reason and "Data.fingerprint" in result.fix)


class Ruled(DataConfig):
    stride: PositiveInt | None = None
    seconds: PositiveFloat | None = Field(None, le=3600)
    std: Annotated[float, Field(ge=1e-6, le=1e6)] | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    window: Literal["auto"] | PositiveInt = "auto"


def test_keys_that_may_be_none_and_have_rules_have_other_values():
    others = dict(_others(Ruled()))
    for key in Ruled.model_fields.keys() - DataConfig.model_fields.keys():
        valid = []
        for value in others[key]:
            try:
                valid.append(Ruled(**{key: value}))
            except ValueError:
                continue
        assert valid, key


WRONG = "higher_is_better=True"
MOMENTS = "lambda e: float((e.fake.samples.mean() - e.real.samples.mean()).abs() + "
MOMENTS += "(e.fake.samples.std(0) - e.real.samples.std(0)).abs().mean())"


@pytest.mark.parametrize(
    "fields",
    [
        {"quick": "False"},
        {"requires": "frozenset({'train'})"},
        {"requires": "frozenset({'features'})", "quick": "False"},
        {"requires": "frozenset({'log_prob'})"},
        {"requires": "frozenset({'condition', 'log_posteriors'})"},
        {"requires": "frozenset({'classifier'})", "quick": "False"},
    ],
    ids=str,
)
def test_a_measure_that_ranks_noise_above_real_is_found_whatever_it_needs(site, fields):
    assert found(site, "metrics_rank_real_data_first", *LABELLED, *measured(**fields)).state == "ok"
    wrong = Change("metrics.py", "higher_is_better=False", WRONG)
    result = found(site, "metrics_rank_real_data_first", *LABELLED, *measured(**fields), wrong)
    assert result.state == "failed" and "spectrum_distance" in result.reason


def bare(spec: Spec, *, labelled: bool) -> DomainFixture:
    """The toy's points under another spec."""
    data = toy_fixture().data
    views = (data.view("train"), data.view("valid"), data.view("test"))
    made = [TensorView(view.data, view.condition if labelled else None) for view in views]
    return DomainFixture(ToyDomain(), Data(*made, spec, fingerprint="bare"))


def test_posteriors_and_a_judge_are_shown_where_rows_have_labels_and_nowhere_else():
    wanted = frozenset({"classifier", "log_posteriors", "condition"})
    measure = Metric(lambda inputs: 0.0, unit="x", optional=wanted)
    classes = Spec({"classes": ["left", "right"]})
    benches = [toy_fixture(), bare(classes, labelled=False), bare(Spec({}), labelled=True)]
    for bench, held in zip(benches, (True, False, False), strict=True):
        for shown in (*ReferenceSets(bench).inputs(measure).values(), real_evidence(bench, [measure])):
            assert (shown.train_classifier is not None) == (shown.fake.log_posteriors is not None) == held


@pytest.mark.parametrize("check", ["metrics_rank_real_data_first", "intervals_contain_values"])
@pytest.mark.parametrize("lacks", ["labels", "rows"])
def test_measures_that_have_no_value_are_told_as_not_looked_at(site, check, lacks):
    refuses = "from gancore import ConfigError; raise ConfigError('few', 'more')\n    return float("
    changes = {
        "labels": measured(requires="frozenset({'log_posteriors'})"),
        "rows": [Change("metrics.py", "return float(", refuses)],
    }
    result = found(site, check, *changes[lacks])
    assert result.state == "skipped" and "spectrum_distance" in result.reason


NEEDY = {
    "a judge taught by real rows": (
        "lambda e: float((taught(e).log_posteriors(e.fake.samples).argmax(1) == e.fake.condition)"
        ".double().mean())",
        "frozenset({'condition', 'classifier'})",
        True,
    ),
    "label accuracy": (
        "lambda e: float((e.fake.log_posteriors.argmax(1) == e.fake.condition).double().mean())",
        "frozenset({'condition', 'log_posteriors'})",
        True,
    ),
    "nats": ("lambda e: -float(e.log_prob.mean())", "frozenset({'log_prob'})", False),
    "features": (
        "lambda e: float((e.fake.features.std(0) - e.real.features.std(0)).square().sum())",
        "frozenset({'features'})",
        False,
    ),
}
PART = """
import asyncio

from gancore import LoggerEntry, LossEntry, Metric, MetricEntry, hookimpl
from gancore.games import AdversarialLoss


@hookimpl
def gancore_{hook}():
    return [{entry}]


def taught(inputs):
    from gancore.data.dataset import Batch
    from gancore.metrics.scores import classifier_data

    rows = Batch(inputs.real.samples, inputs.real.condition)
    return inputs.train_classifier(classifier_data(rows, inputs.spec, inputs.key))

"""


def installed(site, monkeypatch, hook: str, entry: str, code: str) -> ConformanceKit:
    """A plugin ``shore`` that brings one part and no domain."""
    (site.folder / "shore.py").write_text(PART.format(hook=hook, entry=entry) + code)
    info = site.folder / "gancore_shore-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gancore-shore\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[gancore]\nshore = shore\n")
    monkeypatch.setenv("GANCORE_PLUGINS", "shore,tides")
    sys.modules.pop("shore", None)
    forget()
    return ConformanceKit.for_name("shore")


def states(kit: ConformanceKit) -> dict[str, str]:
    """Of the checks of parts by name."""
    return {result.check: result.state for result in kit.run() if result.subject != "shore"}


@pytest.mark.parametrize("domains", ["", ", domains=('tides',)", ", domains=('nowhere',)"])
@pytest.mark.parametrize("higher_is_better", [False, True])
def test_a_measure_of_a_plugin_without_a_domain_is_checked(site, monkeypatch, domains, higher_is_better):
    site.install()
    code = f"apart = Metric({MOMENTS}, unit='x', higher_is_better={higher_is_better})"
    kit = installed(site, monkeypatch, "metrics", f"MetricEntry('apart', 'shore:apart', 'x'{domains})", code)
    result = states(kit)
    expected = "skipped" if "nowhere" in domains else "failed" if higher_is_better else "ok"
    assert result["ranks_real_data_first"] == expected
    assert result["interval_contains_value"] == ("skipped" if "nowhere" in domains else "ok")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", NEEDY)
def test_a_needy_measure_without_a_domain_is_checked_on_points(site, monkeypatch, name, turned):
    compute, needs, higher_is_better = NEEDY[name]
    if turned:
        higher_is_better = not higher_is_better
    direction = f"higher_is_better={higher_is_better}"
    code = f"own = Metric({compute}, unit='x', {direction}, requires={needs}, quick=False)"
    kit = installed(site, monkeypatch, "metrics", "MetricEntry('own', 'shore:own', 'x')", code)
    result = states(kit)
    assert result["ranks_real_data_first"] == ("failed" if turned else "ok")
    assert result["interval_contains_value"] == "ok"


def test_a_measure_without_a_value_is_told_as_not_looked_at(site, monkeypatch):
    code = "def refuse(e):\n    from gancore import ConfigError\n\n    raise ConfigError('few', 'more')\n\n\n"
    code += "own = Metric(refuse, unit='x')"
    kit = installed(site, monkeypatch, "metrics", "MetricEntry('own', 'shore:own', 'x')", code)
    assert set(states(kit).values()) == {"skipped"}


LOGGER = """
class Ledger:
    def __init__(self, folder):
        self.file = folder / "ledger.txt"
        {init}

    def scalars(self, step, numbers):
        {scalars}

    def samples(self, step, samples, paths):
        {samples}

    def close(self):
        {close}
"""
CALLS = {"init": "pass", "scalars": "pass", "samples": "self.file.write_text(str(paths))", "close": "pass"}


@pytest.mark.parametrize(
    ("method", "line", "state"),
    [
        ("scalars", "self.file.write_text(str(numbers))", "ok"),
        ("init", "self.file.open()", "failed"),
        ("scalars", "numbers['no such scalar']", "failed"),
        ("scalars", "raise asyncio.CancelledError", "failed"),
        ("samples", "samples.pictures", "failed"),
        ("close", "raise SystemExit", "failed"),
        ("close", "self.stream.close()", "failed"),
    ],
)
def test_a_logger_that_fails_when_called_is_found(site, monkeypatch, method, line, state):
    code = LOGGER.format(**{**CALLS, method: line})
    kit = installed(site, monkeypatch, "loggers", "LoggerEntry('ledger', 'shore:Ledger', 'x')", code)
    assert states(kit) == {"logs_a_run": state}


@pytest.mark.parametrize(
    ("discriminator", "generator", "check"),
    [
        ("r.neg().exp() + f.exp()", "f.neg().exp() * float('nan')", "stays_finite"),
        ("relu(1 + r) + relu(1 - f)", "f", "gradients_have_right_signs"),
        ("relu(1 - r) + relu(1 + f)", "f", "gradients_have_right_signs"),
    ],
)
def test_a_loss_of_a_plugin_without_a_domain_is_checked(site, monkeypatch, discriminator, generator, check):
    code = "from torch.nn.functional import relu\n"
    code += f"loss = AdversarialLoss(lambda r, f: {discriminator}, lambda r, f: {generator})"
    kit = installed(site, monkeypatch, "losses", "LossEntry('planted', 'shore:loss', 'x')", code)
    assert states(kit)[check] == "failed"


def test_codes_of_a_table_stay_among_those_of_their_column():
    codes = torch.stack([torch.arange(64) % 3 * 2, 100 + torch.arange(64) % 2], 1)
    made = noise({"codes": codes})["codes"]
    for column in range(2):
        assert set(made[:, column].tolist()) == set(codes[:, column].tolist())
