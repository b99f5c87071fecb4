"""Measures pictures per second of the image GANs, of peers, and as a share of the peak of the device.

    python benchmarks/image_throughput.py [--case lite] [--pairs 12] [--batch 64] [--threads 1]
        [--device cpu] [--clock process] [--torchgan] [--profile]

Cases: ``lite`` (the default recipe in fp32 and bf16), ``penalties`` (R1 every 16 steps against every step),
``dcgan`` and ``sngan`` (a peer's published networks at 32x32x3 in a bare torch loop in fp32, with
``--torchgan`` in torchgan's own updates too; then our recipes of the same layers). All contestants of a case
run in one process and take turns step by step, with matrix products and convolutions for the peak in between,
so that other work on the machine slows all equally. The time of a step is the mean over a cycle, from the
medians of steps with and without lazy penalties. Ratios are of successive steps, with quartiles. Pictures per
second are real pictures that the discriminator gets. The share is of the peak at the precision of the main
moves, with counted operations (penalties are always in fp32). ``--profile`` prints the profile of the last
contestant of a case instead.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from gancore_image.dataset import ImageView
from gancore_image.dcgan import DCGAN, DCGANConfig
from gancore_image.dcgan_lite import DCGANLite, DCGANLiteConfig, DCGANLiteDiscriminator, DCGANLiteGenerator
from gancore_image.sngan import SNGAN, SNGANConfig
from image_peers import PEERS, Play, bare, torchgan
from timing import CLOCKS, Counter, Peak, print_profile, timed

from gancore import Spec
from gancore.data.packed import PackedArray
from gancore.games import R1, AdversarialGame, Game, adversarial_game, normal
from gancore.random import Key
from gancore.training.loop import train
from gancore.training.setup import set_up
from gancore.training.state import TrainState

PICTURES, SIDE, EVERY, LOG_EVERY = 2_000, 32, 16, 50


@dataclass
class Contestant:
    """``play`` makes a step with ``pictures`` real pictures; every ``cycle``-th step has lazy penalties.

    ``to_lazy`` makes steps up to the next of those.
    """

    play: Play
    pictures: int
    precision: torch.dtype
    cycle: int = 1
    to_lazy: Callable[[], None] | None = None
    main: list[float] = field(default_factory=list)
    lazy: list[float] = field(default_factory=list)

    def mean(self, main: float, lazy: float) -> float:
        return main + (lazy - main) / self.cycle

    def seconds(self) -> list[float]:
        """Seconds of a step, for each of the timed main moves."""
        lazy = statistics.median(self.lazy) if self.lazy else None
        return [self.mean(main, main if lazy is None else lazy) for main in self.main]


# Contestants ------------------------------------------------------------------------------------


def bytes_of(channels: int, device: torch.device) -> ImageView:
    """Noise as stored pictures: bytes, all on the device."""
    values = Key.of("pictures").uniform(PICTURES * channels * SIDE**2, high=256.0).to(torch.uint8)
    lengths = torch.full((PICTURES,), channels * SIDE**2)
    packed = PackedArray(values, lengths.cumsum(0) - lengths, lengths)
    return ImageView(packed, torch.arange(PICTURES), None, channels, SIDE).to(device)


def ours(game: Game, view: ImageView, batch: int, bf16: bool, moves: int = 1, cycle: int = 1) -> Contestant:
    """The training loop; scalars are read as often as a run logs them."""
    table = set_up(game, view, batch_size=batch, bf16=bf16, device=view.packed.values.device)
    state = TrainState([10**9])

    def on_step_end(state: TrainState) -> None:
        if state.step % LOG_EVERY == 0:
            table.scalars.read()
        state.stop_signal = "pause"

    def play() -> None:
        state.stop_signal = ""
        train(table, state, on_step_end)

    def to_lazy() -> None:
        state.step = state.step_in_phase = cycle * -(-state.step // cycle)

    precision = torch.bfloat16 if bf16 else torch.float32
    return Contestant(play, batch * moves, precision, cycle, to_lazy if cycle > 1 else None)


def lite(batch: int, device: torch.device, peers: bool) -> dict[str, Contestant]:
    view, spec = bytes_of(1, device), Spec({"image_size": SIDE, "channels": 1})

    def contestant(bf16: bool) -> Contestant:
        return ours(DCGANLite().build(DCGANLiteConfig(), spec), view, batch, bf16, cycle=EVERY)

    return {"dcgan-lite, fp32": contestant(False), "dcgan-lite, bf16": contestant(True)}


def penalties(batch: int, device: torch.device, peers: bool) -> dict[str, Contestant]:
    """The networks and loss of the default recipe with R1 only, then the recipe with R1 and R2."""
    view, spec = bytes_of(1, device), Spec({"image_size": SIDE, "channels": 1})

    def r1(every: int) -> AdversarialGame:
        return adversarial_game(
            generator=lambda: DCGANLiteGenerator(spec, 48, 64),
            discriminator=lambda: DCGANLiteDiscriminator(spec, 48),
            prior=normal(64), loss="relativistic", penalties=[R1(1.0, every)], ema_halflife=20_000.0,
        )  # fmt: skip

    def both(every: int) -> Game:
        return DCGANLite().build(DCGANLiteConfig(penalty_every=every), spec)

    return {
        f"{name} every {every}, {'bf16' if bf16 else 'fp32'}": ours(
            build(every), view, batch, bf16, cycle=every
        )
        for bf16, (name, build), every in itertools.product(
            (False, True), (("R1", r1), ("R1 and R2", both)), (1, EVERY)
        )
    }


def beside(name: str, batch: int, device: torch.device, peers: bool) -> dict[str, Contestant]:
    """A peer in fp32, and the recipe of the same layers in fp32 and bf16."""
    view, spec, peer = bytes_of(3, device), Spec({"image_size": SIDE, "channels": 3}), PEERS[name]
    floats = view.get_batch(torch.arange(PICTURES), Key.of(0, device=device)).data

    def other(play: Play) -> Contestant:
        return Contestant(play, batch * peer.moves, torch.float32)

    def recipe(bf16: bool) -> Contestant:
        game = {
            "dcgan": lambda: DCGAN().build(DCGANConfig(width=64, kernel_size=4), spec),
            "sngan": lambda: SNGAN().build(SNGANConfig(), spec),
        }[name]()
        return ours(game, view, batch, bf16, moves=peer.moves)

    found = {f"{name}, bare loop, fp32": other(bare(peer, floats, batch))}
    if peers and name == "dcgan":
        found["dcgan, torchgan, fp32"] = other(torchgan(floats, batch))
    return found | {f"{name}, gancore, fp32": recipe(False), f"{name}, gancore, bf16": recipe(True)}


CASES: dict[str, Callable[[int, torch.device, bool], dict[str, Contestant]]] = {
    "lite": lite,
    "penalties": penalties,
    "dcgan": lambda *given: beside("dcgan", *given),
    "sngan": lambda *given: beside("sngan", *given),
}


# Measuring --------------------------------------------------------------------------------------


def operations(contestant: Contestant) -> float:
    """The number of operations of a step, as the mean over a cycle."""
    counts = []
    for _ in range(2 if contestant.to_lazy else 1):
        if contestant.to_lazy and not counts:
            contestant.to_lazy()
        with Counter() as counter:
            contestant.play()
        counts.append(counter.total)
    return contestant.mean(counts[-1], counts[0])


def compare_in_turns(found: dict[str, Contestant], pairs: int, device: torch.device, clock: str) -> None:
    """Let each contestant make ``pairs`` steps in turns, and a lazy step for every three."""
    peak, counted = Peak(device), {name: operations(each) for name, each in found.items()}
    for pair in range(pairs):
        for each in list(found.values())[:: 1 if pair % 2 else -1]:
            if each.to_lazy and pair % 3 == 0:
                each.to_lazy()
                each.lazy.append(timed(each.play, device, clock))
            each.main.append(timed(each.play, device, clock))
            peak.measure(clock)
    print("; ".join(f"{kind} in {p}: {rate / 1e9:.0f} GFLOP/s" for (p, kind), rate in peak.rates().items()))
    first = next(iter(found.values()))
    for name, each in found.items():
        show(name, each, first, counted[name] / peak.of(each.precision))


def show(name: str, each: Contestant, first: Contestant, least: float) -> None:
    """Print one contestant; ``least`` are the seconds of a step at the peak of the device."""
    pairs = zip(first.seconds(), each.seconds(), strict=True)
    ratios = sorted(a / b * each.pictures / first.pictures for a, b in pairs)
    low, high, seconds = len(ratios) // 4, -1 - len(ratios) // 4, statistics.median(each.seconds())
    print(
        f"  {name:<28} {each.pictures / seconds:7.1f} pictures/s  {1000 * seconds:8.1f} ms a step  "
        f"{100 * least / seconds:4.0f} % of peak  {statistics.median(ratios):.2f} times the first "
        f"({ratios[low]:.2f} to {ratios[high]:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, help="one case; default: all")
    parser.add_argument("--pairs", type=int, default=12, help="number of turns")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="process: for one thread on a CPU only"
    )
    parser.add_argument("--torchgan", action="store_true", help="also with torchgan")
    parser.add_argument(
        "--profile", action="store_true", help="print the profile of the last contestant instead"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    for name in [options.case] if options.case else CASES:
        torch.manual_seed(0)
        found = CASES[name](options.batch, device, options.torchgan)
        print(
            f"{name}: {device.type}, {options.threads} threads, batch {options.batch}, {options.clock} clock"
        )
        if options.profile:
            last = list(found.values())[-1]
            print_profile(last.play, last.cycle)
        else:
            compare_in_turns(found, options.pairs, device, options.clock)


if __name__ == "__main__":
    main()
