"""Tiny games for the tests, and a way to play them through the real loop, killed and resumed where wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gancore.config import RunConfig, TrainConfig
from gancore.data.dataset import TensorView
from gancore.games import Discriminator, Game
from gancore.games.training_setup import TrainingSetup
from gancore.games.training_step import TrainingStep
from gancore.training import setup
from gancore.training.checkpoint import latest_checkpoint, optimizer_tensors, save_checkpoint
from gancore.training.loop import prepare_game, train
from gancore.training.plan import plan_steps
from gancore.training.state import TrainState
from gancore.trees import Tree

Rows = TensorView


class DenseDiscriminator(Discriminator):
    """Two layers, smooth, so that penalties have curvature."""

    def __init__(self, inputs: int = 2, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.Softplus(), nn.Linear(width, 1))

    def logits(self, embedded: Tree, condition: Tree = None) -> Tensor:
        return self.layers(embedded).squeeze(-1)


def points(rows: int = 40, centre: float = 1.0, seed: int = 0) -> Tensor:
    """(rows, 2), around ``centre``, one axis wider than the other."""
    generator = torch.Generator().manual_seed(seed)
    return centre + torch.randn(rows, 2, generator=generator) * torch.tensor([1.0, 0.5])


def run_config(**sections: Mapping[str, object]) -> RunConfig:
    """A configuration of a run of nothing in particular, with these sections."""
    return RunConfig(domain="toy", recipe="toy", data=None, model=None, **sections)


Build = Callable[[], Game]
Views = Tensor | Rows | Mapping[str, Rows]


def set_up(
    build: Build,
    data: Views,
    *,
    batch_size: int = 8,
    micro_batches: int = 1,
    seed: int = 0,
    build_seed: int = 0,
    bf16: bool = False,
) -> TrainingSetup:
    with torch.random.fork_rng():
        torch.manual_seed(build_seed)
        game = build()
    return setup.set_up(game, data, batch_size=batch_size, micro_batches=micro_batches, seed=seed, bf16=bf16)


def training_step(table: TrainingSetup, step: int = 0, phase: int = 0, progress: float = 0.0) -> TrainingStep:
    return TrainingStep(table, table.game.phases[phase], step, step, progress)


def play(
    build: Build,
    data: Views,
    steps: int,
    *,
    kills: Sequence[int] = (),
    folder: Path | None = None,
    **settings: int | bool,
) -> TrainingSetup:
    """Train ``steps`` in all, and at each step of ``kills`` throw everything away but the checkpoint."""
    table = set_up(build, data, **settings)
    prepare_game(table)
    state = TrainState(plan_steps(table, TrainConfig(steps=steps), steps))
    for stop in kills:
        train(table, state, lambda now, stop=stop: setattr(now, "stop_signal", "x" * (now.step == stop)))
        assert state.step == stop
        _save(folder, table, state)
        table = set_up(build, data, **settings, build_seed=99)
        state = _resume(folder, table)
    train(table, state, lambda now: None)
    return table


def _save(folder: Path, table: TrainingSetup, state: TrainState) -> None:
    tensors = {"game": table.game.state_dict(), "optimizers": optimizer_tensors(table)}
    save_checkpoint(folder, state.step, tensors, {"state": state.to_json()}, {}, keep=1)


def _resume(folder: Path, table: TrainingSetup) -> TrainState:
    checkpoint, _ = latest_checkpoint(folder)
    table.game.load_state_dict(dict(checkpoint.tensors["game"]))
    for player, optimizer in table.optimizers.items():
        optimizer.load_state_dict(
            {name: checkpoint.tensors["optimizers"][f"{player}/{name}"] for name in optimizer.state_dict()}
        )
    return TrainState.from_json(checkpoint.state["state"], len(table.game.phases))


def whole(table: TrainingSetup) -> dict[str, Tensor]:
    """Everything that a run is, by name, copied."""
    optimizers = {f"optimizers/{n}": t for n, t in optimizer_tensors(table).items()}
    tensors = {**table.game.state_dict(), **optimizers}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that are not equal bit by bit."""
    assert one.keys() == other.keys()
    return [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]
