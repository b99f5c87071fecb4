"""Measures the overhead of the training loop relative to a bare torch loop of the same game.

    python benchmarks/loop_overhead.py [--pairs 40] [--steps 2] [--device cpu] [--clock process] [--profile]

Both loops train a non-saturating GAN with lazy R1 every 16 steps and an EMA of the generator, with equal
networks, data and precision. They take turns of a few steps, so that other work on the machine slows both
equally. Targets: the median ratio for networks of the size of wavegan-lite is at most 1.02; for tiny networks
the training loop adds at most 0.5 ms a step.
``--clock process`` counts processor seconds, which depend less on other work (on a CPU only).
"""

from __future__ import annotations

import argparse
import copy
import cProfile
import pstats
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gancore.data.dataset import Batch, View
from gancore.games import R1, Adam, AdversarialGame, Discriminator, adversarial_game, normal
from gancore.games.draw import BatchSource
from gancore.games.training_setup import ScalarMeans, TrainingSetup
from gancore.random import Key
from gancore.runtime.device import is_bf16_fast
from gancore.training.loop import train
from gancore.training.state import TrainState

EVERY, GAMMA, RATE, BETAS, HALF_LIFE, LOG_EVERY = 16, 1.0, 2e-4, (0.5, 0.99), 20_000.0, 50


# The bare loop ----------------------------------------------------------------------------------


def bare_loop(game: AdversarialGame, data: Tensor, batch: int, bf16: bool) -> Callable[[int], None]:
    """A function that makes a number of steps."""
    generator, discriminator = game.generator, game.discriminator
    average = copy.deepcopy(generator).requires_grad_(False)
    c = EVERY / (EVERY + 1)
    g_optimizer = torch.optim.Adam(generator.parameters(), RATE, BETAS, fused=True)
    d_optimizer = torch.optim.Adam(
        discriminator.parameters(), RATE * c, (BETAS[0] ** c, BETAS[1] ** c), fused=True
    )
    device, step, losses = data.device, 0, []

    def latents() -> Tensor:
        return torch.randn(batch, game.prior.size, device=device)

    def reals() -> Tensor:
        return data[torch.randint(len(data), (batch,), device=device)]

    def precision() -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=bf16)

    def discriminator_update() -> None:
        with precision():
            with torch.no_grad():
                fake = generator(latents())
            real_logits, fake_logits = discriminator(reals()).float(), discriminator(fake).float()
            loss = (softplus(-real_logits) + softplus(fake_logits)).mean()
        d_optimizer.zero_grad()
        loss.backward()
        d_optimizer.step()
        losses.append(loss.detach())

    def penalty_update() -> None:
        x = reals().requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
        penalty = EVERY * GAMMA * 0.5 * slope.square().flatten(1).sum(1).mean()
        d_optimizer.zero_grad()
        penalty.backward()
        d_optimizer.step()

    def generator_update() -> None:
        discriminator.requires_grad_(False)
        with precision():
            loss = softplus(-discriminator(generator(latents())).float()).mean()
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()
        discriminator.requires_grad_(True)
        losses.append(loss.detach())

    def play(steps: int) -> None:
        nonlocal step
        for _ in range(steps):
            discriminator_update()
            if step % EVERY == 0:
                penalty_update()
            generator_update()
            step += 1
            beta = 0.5 ** (batch / min(HALF_LIFE, 0.05 * step * batch))
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 1 - beta)
            if step % LOG_EVERY == 0:
                torch.stack(losses).tolist()
                losses.clear()

    return play


# The shared loop --------------------------------------------------------------------------------


class Rows(View):
    """A view of rows that are on the device."""

    def __init__(self, data: Tensor) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        return Batch(self.data[indices.to(self.data.device)])


def shared_loop(game: AdversarialGame, data: Tensor, batch: int, bf16: bool) -> Callable[[int], None]:
    batches = BatchSource({"train": Rows(data)}, game.representation, 0, data.device)
    table = TrainingSetup(game, batches, game.optimizer_states(), ScalarMeans(), batch, bf16=bf16)
    state = TrainState([10**9])

    def play(steps: int) -> None:
        end, state.stop_signal = state.step + steps, ""

        def on_step_end(state: TrainState) -> None:
            if state.step % LOG_EVERY == 0:
                table.scalars.read()
            state.stop_signal = "pause" if state.step == end else ""

        train(table, state, on_step_end)

    return play


# The cases --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    build: Callable[[], AdversarialGame]
    data: Callable[[], Tensor]
    batch: int
    bf16: bool


class TinyJudge(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        return self.layers(embedded).squeeze(1)


def tiny() -> AdversarialGame:
    rule = Adam(RATE, BETAS)
    return adversarial_game(
        generator=lambda: nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2)),
        discriminator=TinyJudge, prior=normal(4), penalties=[R1(GAMMA, EVERY)],
        generator_optimizer=rule, discriminator_optimizer=rule, ema_halflife=HALF_LIFE,
    )  # fmt: skip


def wavegan_lite() -> AdversarialGame:
    from gancore_audio.wavegan import WaveGANLite, WaveGANLiteConfig

    from gancore import Spec

    return WaveGANLite().build(WaveGANLiteConfig(), Spec({"length": 4096, "sample_rate_hz": 8000}))


CASES = {
    "wavegan-lite": Case(wavegan_lite, lambda: torch.randn(1000, 1, 4096).clamp(-1, 1), 32, True),
    "tiny": Case(tiny, lambda: torch.randn(1000, 2), 32, False),
}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


def measure(name: str, pairs: int, steps: int, device: torch.device, clock: str, profile: bool) -> None:
    case = CASES[name]
    bf16 = case.bf16 and is_bf16_fast(device)
    torch.manual_seed(0)
    data = case.data().to(device)
    bare = bare_loop(case.build().to(device), data, case.batch, bf16)
    shared = shared_loop(case.build().to(device), data, case.batch, bf16)
    milliseconds: dict[Callable[[int], None], list[float]] = {bare: [], shared: []}
    for play in (bare, shared):
        play(2 * EVERY)
    if profile:
        return show_profile(shared, steps)
    for pair in range(pairs):
        for play in (bare, shared) if pair % 2 else (shared, bare):
            wait(device)
            began = CLOCKS[clock]()
            play(steps)
            wait(device)
            milliseconds[play].append(1000 * (CLOCKS[clock]() - began) / steps)
    report(
        f"{name}, {device.type}, {'bf16' if bf16 else 'fp32'}, {clock} clock", steps, *milliseconds.values()
    )


def report(title: str, steps: int, bare: list[float], shared: list[float]) -> None:
    ratios = sorted(s / b for s, b in zip(shared, bare, strict=True))
    added = sorted(s - b for s, b in zip(shared, bare, strict=True))
    low, high = len(ratios) // 4, -1 - len(ratios) // 4
    print(f"{title}: {len(bare)} pairs of {steps} steps, medians (and quartiles)")
    print(f"  bare {statistics.median(bare):.2f} ms a step, shared {statistics.median(shared):.2f} ms")
    print(f"  ratio {statistics.median(ratios):.3f} ({ratios[low]:.3f} ... {ratios[high]:.3f})")
    print(f"  added {statistics.median(added):+.3f} ms a step ({added[low]:+.3f} ... {added[high]:+.3f})")


def show_profile(play: Callable[[int], None], steps: int) -> None:
    profiler = cProfile.Profile()
    profiler.runcall(play, steps)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, help="one case; default: both")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--steps", type=int, help="steps of a turn")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument(
        "--profile", action="store_true", help="print the profile of the training loop instead"
    )
    options = parser.parse_args()
    for name in [options.case] if options.case else CASES:
        steps = options.steps or {"wavegan-lite": 2, "tiny": 32}[name]
        measure(name, options.pairs, steps, torch.device(options.device), options.clock, options.profile)


if __name__ == "__main__":
    main()
