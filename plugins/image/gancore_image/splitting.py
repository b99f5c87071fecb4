"""Which pictures are trained on, which select, which are reported on."""

from __future__ import annotations

from collections.abc import Sequence

from gancore.data.splits import Split, assign_splits


def split_rows(
    identities: Sequence[str], official: Sequence[Split | None], valid_share: float, test_share: float
) -> list[Split | None]:
    """The split of each row; None: it is left out, since an equal picture is held out.

    What a set fixes as test or valid stays that, row by row. All other rows go by their content, so that
    equal ones are never in two splits; valid and test are taken from them where the set has none.
    """
    if all(split in ("valid", "test") for split in official):  # half a set: it is divided like any other
        official = [None] * len(official)
    fixed = {identity for identity, split in zip(identities, official, strict=True) if _is_held_out(split)}
    rest = sorted(set(identities) - fixed)
    valid = 0.0 if "valid" in official else valid_share
    test = 0.0 if "test" in official else test_share
    drawn = dict(zip(rest, assign_splits(rest, (1 - valid - test, valid, test)), strict=True))
    return [
        split if _is_held_out(split) else drawn.get(identity)
        for identity, split in zip(identities, official, strict=True)
    ]


def _is_held_out(split: Split | None) -> bool:
    return split in ("valid", "test")
