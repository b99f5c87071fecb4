"""What a plugin says of itself for good reason is no breach, and is told as skipped with the reason."""

from __future__ import annotations

import pytest
from broken_plugins import DENSE, LAYERS, NETWORK, more, with_scale
from kit_site import Change

pytestmark = pytest.mark.usefixtures("alone")

BUILT = "        return adversarial_game("
END = "            ema_halflife=5_000,\n        )"


def said(line: str) -> list[Change]:
    """A line about the game that Dense builds."""
    return [
        Change("recipes.py", BUILT, BUILT.replace("return", "game =")),
        Change("recipes.py", END, f"{END}\n        {line}\n        return game"),
    ]


COUPLED = said("game.batch_coupled = True")
NORMALISED = Change("recipes.py", NETWORK, NETWORK.replace("nn.Leaky", "nn.BatchNorm1d(width), nn.Leaky"))
HEAD = "class Scaled(Representation):"
MANY_TO_ONE = Change("recipes.py", HEAD, f"{HEAD}\n    many_to_one = True\n")


@pytest.mark.parametrize(
    ("changes", "recipe", "skipped"),
    [
        (
            [*DENSE["a mean of the batch"][0], *COUPLED],
            "dense",
            {"scores_rows_independently": "batch_coupled", "micro_batches_add_up": "batch_coupled"},
        ),
        (said("game.fp32_by_default = True"), "dense", {"trains_in_bf16": "fp32_by_default"}),
        ([*with_scale(away=" + 1"), MANY_TO_ONE], "normal", {"encodes_and_decodes": "many_to_one"}),
    ],
)
def test_what_is_declared_is_skipped_and_nothing_else_fails(site, changes, recipe, skipped):
    results = {r.check: r for r in site.check(*changes, recipe=recipe)}
    for check, reason in skipped.items():
        assert results[check].state == "skipped"
        assert reason in results[check].text
    assert [r.text for r in results.values() if r.state == "failed"] == []


def test_running_statistics_are_excused_where_the_batch_is_coupled_and_only_there(site):
    """PacGAN's generator normalises over the batch, as published."""
    checks = {r.check: r for r in site.check(NORMALISED, *COUPLED, recipe="dense")}
    assert checks["costs_are_pure"].state == "ok"
    checks = {r.check: r for r in site.check(NORMALISED, recipe="dense")}
    assert "running_mean" in checks["costs_are_pure"].text


def test_a_buffer_that_counts_is_excused_nowhere(site):
    counter = more(LAYERS, 'self.register_buffer("seen", torch.zeros(()))')
    defect = DENSE["a counter in the forward pass"][0][1]
    checks = {r.check: r for r in site.check(counter, defect, *COUPLED, recipe="dense")}
    assert "changes discriminator.seen" in checks["costs_are_pure"].text
