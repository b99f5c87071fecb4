"""Feeds the diagnosis at its intervals: the same code for runs and for games in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from gancore.config import RunConfig
from gancore.data.dataset import Spec, View
from gancore.domain import Diagnostic, Domain
from gancore.games.draw import EncodedView
from gancore.games.sampler import Sampler
from gancore.games.training_setup import TrainingSetup
from gancore.models.sampling import (
    NETWORK_BATCH,
    condition_sampler,
    draw_samples,
    network_batch_size,
)
from gancore.random import Key, RowRange, evaluation_key, noise_scope, preview_key
from gancore.training.diagnosis import Diagnosis
from gancore.training.state import TrainState
from gancore.training.validation import Validator
from gancore.trees import Tree, tree_leaves

NONE: Mapping[str, int] = MappingProxyType({})
MOTION_EVERY = 4
"""Minimum number of steps between two checks of how the samples of the same latents move."""
LOGIT_ROWS_SHARE, MIN_LOGIT_ROWS = 16, 64
"""Rows whose logits an evaluation compares: one in 16 of the rows that the discriminator was trained on since
the last evaluation, at least 64."""
EARLY_STEPS, EARLY_SHARE = 100, 1 / 20
"""Samples and losses are checked from this number of steps and this share of the planned steps on."""


def is_early(state: TrainState) -> bool:
    """Whether it is too early to diagnose: samples of the first steps reflect the initialization."""
    return state.step < max(EARLY_STEPS, EARLY_SHARE * state.planned)


@dataclass(frozen=True)
class Intervals:
    """Steps from one report, preview, evaluation or check of the samples' motion to the next; 0: never."""

    log: int
    preview: int
    evaluate: int
    motion: int

    @classmethod
    def of(cls, config: RunConfig, total: int, planned: Mapping[str, int] = NONE) -> Intervals:
        """Intervals not configured are ``planned`` (for a budget in seconds), or shares of the steps.

        Without a plan there are ten evaluations at equal distances (fewer only if there are fewer than 90
        steps), so that every run selects among the same number of models. A report comes at least every
        50 steps, and motion is checked together with reports.
        """
        log = config.logging.every or max(1, min(50, total // 200))
        return cls(
            log,
            config.logging.preview_every or planned.get("preview", max(1, total // 10)),
            config.validation.every or planned.get("evaluate", max(1, -(-total // 10))),
            log * -(-planned.get("motion", MOTION_EVERY) // log),
        )

    def is_due(self, every: int, state: TrainState) -> bool:
        return every > 0 and (state.step >= state.total_steps or state.step % every == 0)

    def is_evaluation_due(self, state: TrainState) -> bool:
        """At its interval, and at the end of each phase, so that phases can be compared."""
        return self.is_due(self.evaluate, state) or (self.evaluate > 0 and state.ends_phase)


@dataclass
class Monitor:
    """Shows a game to its diagnosis. Every draw is keyed, and nothing that trains is changed.

    ``previews`` is the number of samples in a preview; ``validator`` has the rows of valid and draws the
    samples that are compared with them.
    """

    setup: TrainingSetup
    domain: Domain
    spec: Spec
    validator: Validator
    intervals: Intervals
    previews: int
    seed: int
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    def __post_init__(self) -> None:
        self.diagnosis.set_reference(self.validator.reference.data)
        self._adversarial = len(self.setup.game.players) > 1
        reference = tree_leaves(self.validator.reference.data)
        self._moves = self._adversarial and any(leaf.is_floating_point() for leaf in reference)
        self.can_sample = self.setup.game.sampler().can("sample")
        trained = self.intervals.evaluate * self.setup.batch_size
        self._rows = min(self.validator.n_samples, max(MIN_LOGIT_ROWS, trained // LOGIT_ROWS_SHARE))

    def __call__(self, state: TrainState) -> list[Diagnostic]:
        """Everything that is due after this step, for a game without a run folder."""
        findings = []
        if self.intervals.is_due(self.intervals.log, state):
            findings += self.read_scalars(state)[1]
            if self.is_motion_due(state):
                findings += self.check_motion(state)
        if self.can_sample and self.intervals.is_due(self.intervals.preview, state):
            findings += self.draw_preview(state)[1]
        if self.intervals.is_evaluation_due(state):
            findings += self.draw_samples(state)[1]
        return findings

    def phase_name(self, state: TrainState) -> str:
        return self.setup.game.phases[min(state.phase_index, len(state.plan) - 1)].name

    def read_scalars(self, state: TrainState) -> tuple[dict[str, float], list[Diagnostic]]:
        """The scalars since the last report, and what is wrong with them."""
        scalars = self.setup.scalars.read()
        self.diagnosis.early_phase = is_early(state)
        return scalars, self.diagnosis.check_scalars(state.step, {**scalars, "phase": self.phase_name(state)})

    def is_motion_due(self, state: TrainState) -> bool:
        """Whether the samples' motion is checked after this step, together with the report.

        Never without a leaf of floats: ids have no mean.
        """
        every = self.intervals.motion
        return self._moves and every > 0 and state.step % every == 0

    def check_motion(self, state: TrainState) -> list[Diagnostic]:
        """What is wrong with the samples' motion."""
        return self.diagnosis.check_motion(state.step, self._sample(NETWORK_BATCH)[0])

    def draw_preview(self, state: TrainState) -> tuple[tuple[Tree, Tree], list[Diagnostic]]:
        """Samples from the same latents every time, with their condition."""
        self.diagnosis.early_phase = is_early(state)
        samples = self._sample(self.previews)
        return samples, self.diagnosis.check_samples(samples[0])

    def draw_samples(self, state: TrainState) -> tuple[Tree, list[Diagnostic]]:
        """As many samples as the measures see; None if nothing looks at them."""
        self.diagnosis.early_phase = is_early(state)
        if not (self._adversarial or self.validator.metrics_for(self.setup.game.sampler())):
            return None, []
        samples = self.validator.draw_samples(self._sampler())
        self.setup.game.train()
        findings = self.diagnosis.check_coverage(samples) if self._adversarial else []
        return samples, findings + self._check_memorization()

    def _check_memorization(self) -> list[Diagnostic]:
        """Compare the discriminator's logits of rows of train, of held-out rows and of generated ones."""
        game, views = self.setup.game, self.setup.batches
        train, valid = (
            next(iter(views.encoded_views.values())),
            EncodedView(self.validator.valid, game.representation),
        )
        key = evaluation_key("judge", self.seed, device=views.key.device)
        game.eval()
        train_logits = self._discriminator_logits(train, key / "train")
        valid_logits = self._discriminator_logits(valid, key / "valid")
        game.train()
        if train_logits is None or valid_logits is None:
            return []
        fake = torch.cat([train_logits[1], valid_logits[1]])
        return self.diagnosis.check_discriminator(train_logits[0], valid_logits[0], fake)

    def _discriminator_logits(self, view: View, key: Key) -> tuple[Tensor, Tensor] | None:
        """Logits of rows of this view and of as many fakes: the same rows and latents every time."""
        game, size = self.setup.game, self.setup.batch_size
        count = min(self._rows, len(view))
        while size > count and size % 2 == 0:  # a packing discriminator takes a divisor of the batch
            size //= 2
        indices = (key.to("cpu") / "rows").permutation(len(view))[:count]
        pairs = []
        for start in range(0, count - size + 1, size):
            part = (key / start).with_rows(RowRange.all(size))
            with noise_scope(part / "noise", RowRange.all(size)):
                logits = game.discriminator_logits(
                    view.get_batch(indices[start : start + size], part / "real"), part
                )
            if logits is None:
                return None
            pairs.append(logits)
        if not pairs:
            return None
        real, fake = zip(*pairs, strict=True)
        return torch.cat(real), torch.cat(fake)

    def _sample(self, n: int) -> tuple[Tree, Tree]:
        sampler = self._sampler()
        condition = condition_sampler(sampler, self.domain, self.spec, None)
        key = preview_key(self.seed, device=self.setup.batches.key.device)
        samples = draw_samples(
            sampler, n, key, condition, unit=network_batch_size(sampler)
        )  # too few for a block
        self.setup.game.train()
        return samples

    def _sampler(self) -> Sampler:
        return self.setup.game.sampler().eval()
