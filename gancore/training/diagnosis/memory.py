"""Does the discriminator tell rows that it was trained on from held-out ones?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from gancore.training.diagnosis.verdicts import Sign

HEURISTIC = 0.25  # r_v, from which it matters
SURE = 3.5  # standard errors of the difference of means
FEWEST = 16  # rows of each kind


def signs(seen: Tensor, unseen: Tensor, fake: Tensor) -> Iterator[Sign]:
    """Logits of train rows, of held-out rows and of generated ones.

    r_v = (E D_train - E D_valid) / (E D_train - E D_fake): Karras et al. 2020 (ADA), eq. 1; 0 where nothing
    is memorised, 1 where a held-out row looks generated. It counts where the difference above is one of
    ``SURE`` standard errors (Welch's), which of equal means happens once in 4,300 times.
    """
    train, valid, made = (x.detach().cpu().double().reshape(len(x), -1).mean(1) for x in (seen, unseen, fake))
    if min(len(train), len(valid), len(made)) < FEWEST:
        return
    gap = float(train.mean() - valid.mean())
    error = math.sqrt(float(train.var() / len(train) + valid.var() / len(valid)))
    whole = float(train.mean() - made.mean())
    heuristic = gap / whole if whole > 0 else 0.0
    told = (
        f"the discriminator tells {len(train)} rows of train from {len(valid)} held-out ones: mean logits of "
        f"{train.mean():.2f} and {valid.mean():.2f}, of generated {made.mean():.2f} (r_v = {heuristic:.2f})"
    )
    yield Sign("memorising discriminator", gap > SURE * error and heuristic > HEURISTIC, told)
