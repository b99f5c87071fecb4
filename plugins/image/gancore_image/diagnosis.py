"""Common faults of generated images: blank, saturated, one colour, checkerboard."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gancore import Diagnostic
from gancore.training import LOWER_LR, TRAIN_STEADIER, DiagnosticRule, apply_rules

LEVEL = 1 / 127.5
"""One step of 255 levels."""
BLANK = 4 * LEVEL
ENDS, CHANGING = 0.98, 0.2
CHROMA, ONE_HUE = 0.1, 0.99
PERIODS, RATIO, SHARE = (2, 4), 3.0, 0.003


RULES = {
    "blank": DiagnosticRule(
        0.05, "blank, of one level", f"look for blank images in the data; {TRAIN_STEADIER}"
    ),
    "saturated": DiagnosticRule(
        0.05,
        "noise of black and white, without levels between",
        f"{LOWER_LR}; {TRAIN_STEADIER}",
    ),
    # a photograph of the sky has one hue too
    "one colour": DiagnosticRule(0.5, "of one hue", f"start again from another seed; {TRAIN_STEADIER}"),
}


def diagnose(images: Tensor) -> list[Diagnostic]:
    """Faults of a set of samples (n, channels, side, side), each with its share and advice."""
    findings = apply_rules(RULES, find_faults(images))
    board = checkerboard(images)
    if board is not None:
        period, ratio, share = board
        seen = (
            f"a pattern that repeats every {period} pixels holds {100 * share:.1f} % of the energy, "
            f"{ratio:.1f} times as much as its neighbours in frequency"
        )
        remedy = "train longer (upsampling leaves this pattern)"
        findings.append(Diagnostic("checkerboard", seen, remedy))
    return findings


def find_faults(images: Tensor) -> dict[str, Tensor]:
    """Which samples of (n, channels, side, side) are ``blank``, ``saturated``, ``one colour``: bool (n) each.

    Blank: each channel deviates less than 4 levels from its mean (RMS). Saturated: 98 % of the values are
    black or white, and over a fifth of all neighbours differ in that. One colour: in RGB the mean chroma is
    over 0.1, and nearly all of it has one hue. Alpha is ignored.
    """
    colour = _colour(images)
    blank = (colour.flatten(2).std(2, correction=0) < BLANK).all(1)
    return {
        "blank": blank,
        "saturated": _saturated(colour) & ~blank,
        "one colour": _one_colour(colour) & ~blank,
    }


def _colour(images: Tensor) -> Tensor:
    x = images.detach().float()
    return x[:, :-1] if x.shape[1] in (2, 4) else x


def _saturated(x: Tensor) -> Tensor:
    ends = (x.abs() > 1 - 1.5 * LEVEL).flatten(1).float().mean(1)
    white = x > 0
    down = white[:, :, 1:] != white[:, :, :-1]
    right = white[:, :, :, 1:] != white[:, :, :, :-1]
    changing = (down.flatten(1).float().mean(1) + right.flatten(1).float().mean(1)) / 2
    return (ends > ENDS) & (changing > CHANGING)


def _one_colour(x: Tensor) -> Tensor:
    if x.shape[1] != 3:
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)
    chroma = (x - x.mean(1, keepdim=True)).flatten(2)  # (n, 3, pixels)
    size = chroma.norm(dim=1).mean(1)
    found: Tensor = (size > CHROMA) & (chroma.mean(2).norm(dim=1) > ONE_HUE * size)
    return found


def checkerboard(images: Tensor) -> tuple[int, float, float] | None:
    """The pattern that upsampling layers of stride 2 leave behind in the samples (n, channels, side, side).

    Medians over the samples, since a texture has such a frequency by chance in a few. Returns (period in
    pixels, ratio, share of the energy) of the strongest pattern of 2 or 4 pixels that is over 3 times its
    neighbours in frequency and 0.3 % of the energy; None if there is none.
    """
    found = []
    for period, line, floor in _combs(_colour(images)):
        ratio, share = float((line / floor.clamp_min(1e-12)).median()), float((line - floor).median())
        if ratio > RATIO and share > SHARE:
            found.append((period, ratio, share))
    return max(found, key=lambda comb: comb[2], default=None)


def _combs(x: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(period, power at its frequencies, power of as many neighbours), (n) each, as shares of the power."""
    power = torch.fft.fft2(x - x.mean((2, 3), keepdim=True)).abs().square().mean(1)  # (n, side, side)
    power = power / power.sum((1, 2), keepdim=True).clamp_min(1e-12)
    side = power.shape[-1]
    for period in PERIODS:
        step = side // period
        if side % period or step < 4:
            continue
        lines = range(0, side, step)
        points = [(u, v) for u in lines for v in lines if (u // step) % 2 or (v // step) % 2]
        line = torch.stack([power[:, u, v] for u, v in points]).sum(0)
        yield period, line, torch.stack([_beside(power, u, v) for u, v in points]).sum(0)


def _beside(power: Tensor, u: int, v: int) -> Tensor:
    """The mean power one and two steps from (u, v): along its axis, if it is on one, else along both."""
    side = power.shape[-1]
    steps = (-2, -1, 1, 2)
    along = [((u + s) % side, v) for s in steps if u] + [(u, (v + s) % side) for s in steps if v]
    return torch.stack([power[:, a, b] for a, b in along]).mean(0)
