"""A plugin that is broken in one thing is caught by the kit, with a message that names it."""

from __future__ import annotations

import pytest
from broken_plugins import DENSE, DOMAIN, NORMAL, PLUGIN
from kit_site import Change

from gancore.cli import main
from gancore.testing import CHECKS, ConformanceKit
from gancore.testing.check import run_check

pytestmark = pytest.mark.usefixtures("alone")


def test_the_plugin_that_is_not_broken_passes_every_check(site):
    results = site.check()
    assert [result for result in results if result.state == "failed"] == []
    assert {result.subject for result in results} == {"tides", "tides/dense", "tides/normal"}
    skipped = {(result.subject, result.check) for result in results if result.state == "skipped"}
    ways = {check for _, check in skipped}
    # what it does not have, and nothing else
    assert ways == {
        *("gives_likelihoods", "gives_posteriors", "interpolates", "inverts", "trains_on_labels"),
        *("fingerprints_its_keys", "labels_match_their_rows", "likelihood_sums_to_one", "depends_on_labels"),
        *(
            "gives_finite_logits",
            "scores_rows_independently",
            "differentiates_twice",
            "embeds_rows_independently",
        ),
        "opens_models",
    }


CASES = [
    pytest.param(*case, recipe, id=name)
    for recipe, cases in ((None, PLUGIN), ("dense", {**DOMAIN, **DENSE}), ("normal", NORMAL))
    for name, case in cases.items()
]


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "check", "words", "recipe"), CASES)
def test_a_broken_plugin_is_caught_by_a_message_that_names_the_breach(site, changes, check, words, recipe):
    failed = {r.check: r.text for r in site.check(*changes, recipe=recipe) if r.state == "failed"}
    assert check in failed, failed
    for word in words:
        assert word in failed[check]
    assert "\n" not in failed[check]


def test_the_command_says_it_in_one_line_and_ends_with_2(site, capsys):
    changes, check, words = DENSE["a mean of the batch"]
    site.install(*changes)
    assert main(["plugins", "check", "tides", "--recipe", "dense"]) == 2
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert (
        line.startswith("error: ")
        and "of 'tides' failed, first scores_rows_independently of tides/dense" in line
    )
    assert words[0] in line
    (failed,) = (row for row in output.out.splitlines() if f" {check} " in row)
    assert failed.startswith("failed") and words[0] in failed
    assert "Traceback" not in output.out + output.err


def test_what_two_processes_train_otherwise_is_caught(site):
    changes, _, _ = NORMAL["a cost that does not add up"]
    site.install(*changes)
    (check,) = (check for check in CHECKS if check.name == "trains_on_two_processes")
    result = run_check(check, ConformanceKit.for_name("tides").recipes["tides/normal"])
    assert result.state == "failed"
    assert "batch_coupled" in result.text


def test_nothing_is_looked_at_behind_a_plugin_that_cannot_be_imported(site):
    results = site.check(Change("__init__.py", "from gancore import", "from gancore import nothing,"))
    assert [result.check for result in results if result.state == "failed"] == [
        "imports_light",
        "resolves_entries",
    ]
    assert len(results) == 2
    assert "nothing" in results[1].text


def test_data_that_do_not_open_are_told_once(site):
    results = site.check(Change("domain.py", "series = two_waves()", "series = None.waves"))
    (failed,) = (result for result in results if result.state == "failed")
    assert failed.check == "opens"
    assert "AttributeError" in failed.text and "gancore_tides/domain.py:" in failed.text
