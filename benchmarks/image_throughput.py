"""Pictures a second of the image GANs, beside peers, and as a share of what the device can multiply.

    python benchmarks/image_throughput.py [--case lite] [--pairs 8] [--batch 64] [--threads 1] [--device cpu]
        [--clock process] [--packages] [--profile]

Cases: ``lite`` (the default recipe in fp32 and bf16), ``penalties`` (R1 every 16 rounds against every round),
``dcgan`` and ``sngan`` (a peer's published networks at 32x32x3 in a bare torch loop, and with ``--packages``
in torchgan's or mimicry's own steps, in fp32; then our recipes).
All of a case play in one process and take turns round by round, in step with the largest matrix products of
the device, so that a busy machine slows all alike; told are medians, and of ratios the quartiles.
Pictures a second are real pictures that the discriminator met. The share is of the peak at the precision of
the main moves, with operations counted by torch (penalties run in fp32 always).
``--profile`` tells where the time of a case's last contestant goes instead.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from gancore_image.dcgan import DCGAN, DCGANConfig
from gancore_image.dcgan_lite import DCGANLite, DCGANLiteConfig, LiteDiscriminator, LiteGenerator
from gancore_image.sngan import SNGAN, SNGANConfig
from gancore_image.views import PictureView
from image_peers import PEERS, Play, bare, packaged
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gancore import Spec
from gancore.data.packed import Packed
from gancore.games import R1, AdversarialGame, Game, adversarial, normal
from gancore.runtime.randomness import Key
from gancore.training.loop import train
from gancore.training.playing import set_table
from gancore.training.state import State

PICTURES, SIDE, EVERY, LOG_EVERY = 2_000, 32, 16, 50
CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


@dataclass
class Contestant:
    """Plays rounds, each with so many real pictures; a cycle is the rounds after which all repeats."""

    play: Play
    pictures: int
    precision: torch.dtype
    cycle: int = 1
    seconds: list[float] = field(default_factory=list)


# Contestants ------------------------------------------------------------------------------------


def bytes_of(channels: int, device: torch.device) -> PictureView:
    """Noise as stored pictures: bytes, on the device whole."""
    values = Key.of("pictures").uniform(PICTURES * channels * SIDE**2, high=256.0).to(torch.uint8)
    lengths = torch.full((PICTURES,), channels * SIDE**2)
    packed = Packed(values, lengths.cumsum(0) - lengths, lengths)
    return PictureView(packed, torch.arange(PICTURES), None, channels, SIDE).on(device)


def ours(game: Game, view: PictureView, batch: int, bf16: bool, moves: int = 1, cycle: int = 1) -> Contestant:
    """The shared loop; figures are read as often as a run logs them."""
    table = set_table(game, view, batch_size=batch, bf16=bf16, device=view.packed.values.device)
    state = State([10**9])

    def play(rounds: int) -> None:
        end, state.stopping = state.step + rounds, ""

        def upkeep(state: State) -> None:
            if state.step % LOG_EVERY == 0:
                table.statistics.read()
            state.stopping = "pause" if state.step == end else ""

        train(table, state, upkeep)

    return Contestant(play, batch * moves, torch.bfloat16 if bf16 else torch.float32, cycle)


def lite(batch: int, device: torch.device, packages: bool) -> dict[str, Contestant]:
    view, spec = bytes_of(1, device), Spec({"side": SIDE, "channels": 1})

    def contestant(bf16: bool) -> Contestant:
        return ours(DCGANLite().build(DCGANLiteConfig(), spec), view, batch, bf16, cycle=EVERY)

    return {"dcgan-lite, fp32": contestant(False), "dcgan-lite, bf16": contestant(True)}


def penalties(batch: int, device: torch.device, packages: bool) -> dict[str, Contestant]:
    """The default recipe's networks and loss under R1 alone, then the recipe as it is, with R1 and R2."""
    view, spec = bytes_of(1, device), Spec({"side": SIDE, "channels": 1})

    def r1(every: int) -> AdversarialGame:
        return adversarial(
            generator=lambda: LiteGenerator(spec, 48, 64), discriminator=lambda: LiteDiscriminator(spec, 48),
            prior=normal(64), loss="relativistic", penalties=[R1(1.0, every)], average=20_000.0,
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


def beside(name: str, batch: int, device: torch.device, packages: bool) -> dict[str, Contestant]:
    """A peer in fp32, and our recipe of the same layers in fp32 and bf16."""
    view, spec, peer = bytes_of(3, device), Spec({"side": SIDE, "channels": 3}), PEERS[name]
    floats = view.take(torch.arange(PICTURES), Key.of(0, device=device)).data

    def other(play: Play) -> Contestant:
        return Contestant(play, batch * peer.moves, torch.float32)

    def recipe(bf16: bool) -> Contestant:
        game = {
            "dcgan": lambda: DCGAN().build(DCGANConfig(width=64, kernel=4), spec),
            "sngan": lambda: SNGAN().build(SNGANConfig(), spec),
        }[name]()
        return ours(game, view, batch, bf16, moves=peer.moves)

    found = {f"{name}, bare loop, fp32": other(bare(peer, floats, batch))}
    if packages:
        found[f"{name}, package, fp32"] = other(packaged(name, floats, batch))
    return found | {f"{name}, gancore, fp32": recipe(False), f"{name}, gancore, bf16": recipe(True)}


CASES: dict[str, Callable[[int, torch.device, bool], dict[str, Contestant]]] = {
    "lite": lite,
    "penalties": penalties,
    "dcgan": lambda *given: beside("dcgan", *given),
    "sngan": lambda *given: beside("sngan", *given),
}


# Measuring --------------------------------------------------------------------------------------


def timed(work: Callable[[], object], device: torch.device, clock: str) -> float:
    wait(device)
    began = CLOCKS[clock]()
    work()
    wait(device)
    return CLOCKS[clock]() - began


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@dataclass
class Peak:
    """The device's matrix products, timed in turn with the contestants: operations a second."""

    device: torch.device
    seconds: dict[torch.dtype, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        side = 8192 if self.device.type == "cuda" else 1024
        self.matrices = {
            precision: torch.randn(side, side, device=self.device).to(precision)
            for precision in (torch.float32, torch.bfloat16)
        }

    def turn(self, clock: str) -> None:
        for precision, matrix in self.matrices.items():

            def product(matrix: Tensor = matrix) -> Tensor:
                return matrix @ matrix

            self.seconds.setdefault(precision, []).append(timed(product, self.device, clock))

    def of(self, precision: torch.dtype) -> float:
        return 2 * len(self.matrices[precision]) ** 3 / statistics.median(self.seconds[precision][1:])


class Counter(TorchDispatchMode):
    """Floating-point operations of products and convolutions. (torch's own refuses gradients of leaves.)"""

    total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def operations(contestant: Contestant) -> float:
    """Of a round, over a whole cycle."""
    with Counter() as counter:
        contestant.play(contestant.cycle)
    return counter.total / contestant.cycle


def contest(found: dict[str, Contestant], pairs: int, device: torch.device, clock: str) -> None:
    """Each plays a cycle of at most 16 rounds in its turn, as often as ``pairs`` says."""
    peak, counted = Peak(device), {name: operations(each) for name, each in found.items()}
    for each in found.values():
        each.play(each.cycle)
    stretch = max(each.cycle for each in found.values())
    for pair in range(pairs):
        for each in list(found.values())[:: 1 if pair % 2 else -1]:
            each.seconds.append(timed(lambda each=each: each.play(stretch), device, clock) / stretch)
            peak.turn(clock)
    peaks = {precision: peak.of(precision) for precision in peak.matrices}
    print("matrix products: " + ", ".join(f"{p} {s / 1e9:.0f} GFLOP/s" for p, s in peaks.items()))
    first = next(iter(found.values()))
    for name, each in found.items():
        show(name, each, first, counted[name] / peaks[each.precision])


def show(name: str, each: Contestant, first: Contestant, least: float) -> None:
    """``least``: the seconds that a round would take at the device's peak."""
    pairs = zip(first.seconds, each.seconds, strict=True)
    ratios = sorted(a / b * each.pictures / first.pictures for a, b in pairs)
    low, high, seconds = len(ratios) // 4, -1 - len(ratios) // 4, statistics.median(each.seconds)
    print(
        f"  {name:<28} {each.pictures / seconds:7.1f} pictures/s  {1000 * seconds:8.1f} ms a round  "
        f"{100 * least / seconds:4.0f} % of peak  {statistics.median(ratios):.2f} times the first "
        f"({ratios[low]:.2f} to {ratios[high]:.2f})"
    )


KINDS = {
    "convolution_backward": "convolutions, backward",
    "convolution": "convolutions, forward",
    "mm": "matrix products",
    "batch_norm": "normalisation",
    "relu": "activations",
    "tanh": "activations",
    "adam": "Adam and average",
    "lerp": "Adam and average",
    "copy_": "copies and layouts",
    "upsample": "resampling",
    "avg_pool": "resampling",
}


def tell_profile(contestant: Contestant) -> None:
    """Where a cycle's time goes, by kinds of operation."""
    contestant.play(contestant.cycle)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        contestant.play(contestant.cycle)
    shares: dict[str, float] = {}
    for event in seen.key_averages():
        kind = next((kind for part, kind in KINDS.items() if part in event.key), "all else")
        shares[kind] = shares.get(kind, 0.0) + (event.self_device_time_total or event.self_cpu_time_total)
    total = sum(shares.values())
    for kind, microseconds in sorted(shares.items(), key=lambda item: -item[1]):
        milliseconds = microseconds / 1000 / contestant.cycle
        print(f"  {kind:<24} {100 * microseconds / total:5.1f} %  {milliseconds:8.2f} ms a round")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, help="one case; all if left out")
    parser.add_argument("--pairs", type=int, default=8, help="turns of each")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="process: of one thread on a CPU alone"
    )
    parser.add_argument("--packages", action="store_true", help="with torchgan's and mimicry's own steps too")
    parser.add_argument(
        "--profile", action="store_true", help="where the last contestant's time goes instead"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    for name in [options.case] if options.case else CASES:
        torch.manual_seed(0)
        found = CASES[name](options.batch, device, options.packages)
        print(
            f"{name}: {device.type}, {options.threads} threads, batch {options.batch}, {options.clock} clock"
        )
        if options.profile:
            tell_profile(list(found.values())[-1])
        else:
            contest(found, options.pairs, device, options.clock)


if __name__ == "__main__":
    main()
