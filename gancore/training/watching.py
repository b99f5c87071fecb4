"""What a diagnosis is shown, and when: the same code for a run and for a game that is played in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor, nn

from gancore.config import UpkeepSection
from gancore.domain import Domain, Finding, Spec, View
from gancore.games.draw import Encoded
from gancore.games.field import Table
from gancore.models.sampling import UNIT, condition_for, draw_samples, generates, unit_of
from gancore.runtime.randomness import Key, Rows, noise_scope
from gancore.training.diagnosis import Diagnosis
from gancore.training.evaluation import Evaluator
from gancore.training.state import State
from gancore.trees import Tree

NONE: Mapping[str, int] = MappingProxyType({})
MOTION_EVERY = 4
"""Rounds at least between two looks at where the samples of the same latents have moved."""
JUDGED_SHARE, JUDGED_FEWEST = 16, 64
"""Rows judged at an evaluation: one for so many that the discriminator was trained on since the last."""


EARLY_ROUNDS, EARLY_SHARE = 100, 1 / 20
"""Rounds, and the share of the rounds planned, before which samples and losses are not judged."""


def is_early(state: State) -> bool:
    """Whether there is nothing to judge yet: faults of samples at the first rounds are those of the start."""
    return state.step < max(EARLY_ROUNDS, EARLY_SHARE * state.planned)


@dataclass(frozen=True)
class Cadence:
    """Rounds from one report, preview, evaluation or look at the samples' motion to the next; 0: never."""

    log: int
    preview: int
    evaluate: int
    motion: int

    @classmethod
    def of(cls, settings: UpkeepSection, total: int, planned: Mapping[str, int] = NONE) -> Cadence:
        """What is not given is as ``planned`` for a budget in seconds, or else a share of the rounds.

        Without a plan there are ten evaluations, at equal shares, whatever the number of rounds (fewer only
        where there are under 90): models that are selected among as many are selected alike. A report comes
        every 50 rounds at least, and motion is looked at together with reports.
        """
        log = settings.log_every or max(1, min(50, total // 200))
        return cls(
            log,
            settings.preview_every or planned.get("preview", max(1, total // 10)),
            settings.evaluate_every or planned.get("evaluate", max(1, -(-total // 10))),
            log * -(-planned.get("motion", MOTION_EVERY) // log),
        )

    def due(self, every: int, state: State) -> bool:
        return every > 0 and (state.step >= state.total or state.step % every == 0)


@dataclass
class Watch:
    """Shows a game to its diagnosis. Every draw is keyed, and nothing that trains is changed.

    ``previews`` is the number of samples in a preview; ``evaluator`` has the rows of valid and draws the
    samples that stand beside them.
    """

    table: Table
    domain: Domain
    spec: Spec
    evaluator: Evaluator
    cadence: Cadence
    previews: int
    seed: int
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    def __post_init__(self) -> None:
        self.diagnosis.reference(self.evaluator.reference.data)
        self._adversarial = len(self.table.game.players) > 1
        self.has_previews = generates(self.table.game.sampler())
        trained = self.cadence.evaluate * self.table.batch_size
        self._rows = min(self.evaluator.n, max(JUDGED_FEWEST, trained // JUDGED_SHARE))

    def __call__(self, state: State) -> list[Finding]:
        """All that is due after this round, for a game without a run folder."""
        found = []
        if self.cadence.due(self.cadence.log, state):
            found += self.log(state)[1]
            if self.sees_motion(state):
                found += self.motion(state)
        if self.has_previews and self.cadence.due(self.cadence.preview, state):
            found += self.preview(state)[1]
        if self.cadence.due(self.cadence.evaluate, state):
            found += self.evaluate(state)[1]
        return found

    def phase(self, state: State) -> str:
        return self.table.game.phases[min(state.phase_index, len(state.plan) - 1)].name

    def log(self, state: State) -> tuple[dict[str, float], list[Finding]]:
        """The scalars since the last report, and what is wrong with them."""
        scalars = self.table.statistics.read()
        self.diagnosis.early = is_early(state)
        return scalars, self.diagnosis.scalars(state.step, {**scalars, "phase": self.phase(state)})

    def sees_motion(self, state: State) -> bool:
        """Whether this is a report at which the samples' motion is looked at."""
        every = self.cadence.motion
        return self._adversarial and every > 0 and state.step % every == 0

    def motion(self, state: State) -> list[Finding]:
        """What is wrong with the samples' motion."""
        return self.diagnosis.motion(state.step, self._draw(UNIT)[0])

    def preview(self, state: State) -> tuple[tuple[Tree, Tree], list[Finding]]:
        """Samples from the same latents every time, with their condition."""
        self.diagnosis.early = is_early(state)
        made = self._draw(self.previews)
        return made, self.diagnosis.samples(made[0])

    def evaluate(self, state: State) -> tuple[Tree, list[Finding]]:
        """As many samples as measures see (None where nobody looks at them)."""
        self.diagnosis.early = is_early(state)
        if not (self._adversarial or self.evaluator.measures_of(self.table.game.sampler())):
            return None, []
        samples = self.evaluator.draw(self._sampler())
        self.table.game.train()
        found = self.diagnosis.coverage(samples) if self._adversarial else []
        return samples, found + self._memory()

    def _memory(self) -> list[Finding]:
        """The discriminator's logits on rows of train, on held-out ones and on generated ones."""
        game, views = self.table.game, self.table.dealer
        train, valid = next(iter(views.encoded.values())), Encoded(self.evaluator.valid, game.representation)
        key = Key.of("judge", self.seed, device=views.key.device)
        game.eval()
        seen, unseen = self._judged(train, key / "train"), self._judged(valid, key / "valid")
        game.train()
        if seen is None or unseen is None:
            return []
        return self.diagnosis.judgement(seen[0], unseen[0], torch.cat([seen[1], unseen[1]]))

    def _judged(self, view: View, key: Key) -> tuple[Tensor, Tensor] | None:
        """Logits of rows of this view and of as many fakes, the same rows and latents every time."""
        count, size = min(self._rows, len(view)), self.table.batch_size
        while size > count and size % 2 == 0:  # one that judges several rows at once divides the batch
            size //= 2
        indices = (key.to("cpu") / "rows").permutation(len(view))[:count]
        made = []
        for start in range(0, count - size + 1, size):
            part = (key / start).cut(Rows.all(size))
            with noise_scope(part / "noise", Rows.all(size)):
                logits = self.table.game.judge(view.take(indices[start : start + size], part / "real"), part)
            if logits is None:
                return None
            made.append(logits)
        if not made:
            return None
        real, fake = zip(*made, strict=True)
        return torch.cat(real), torch.cat(fake)

    def _draw(self, n: int) -> tuple[Tree, Tree]:
        sampler = self._sampler()
        condition = condition_for(sampler, self.domain, self.spec, None)
        key = Key.of("preview", self.seed, device=self.table.dealer.key.device)
        made = draw_samples(sampler, n, key, condition, unit=unit_of(sampler))  # few: no block of them
        self.table.game.train()
        return made

    def _sampler(self) -> nn.Module:
        return self.table.game.sampler().eval()
