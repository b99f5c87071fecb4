"""Measures bias and variance of estimators of the generator's gradient against the exact gradient.

    python benchmarks/estimators.py
    python benchmarks/estimators.py --speed
    python benchmarks/estimators.py --recipes
    python benchmarks/estimators.py --memory hard

Sequences have three tokens of a vocabulary of three, so that the gradient of the expected cost is a sum over
27 sequences. For each estimator the table has the norm of the mean error over all draws, relative to the
exact gradient (and its value by chance), the cosine with the exact gradient, and the standard deviation of
the estimate of one row, relative to the exact gradient. ``--speed`` times moves with dense rewards and with
rollouts, V 5,000. ``--recipes`` times those of the recipes ``scratchgan`` and ``seqgan`` of text, with one
generator. ``--memory`` prints the peak memory of one generator move by straight-through Gumbel.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from gancore import Source, Spec
from gancore.data.dataset import TensorView
from gancore.games import (
    Estimator,
    Identity,
    Move,
    Reinforce,
    StraightThroughGumbel,
    TokenDiscriminator,
    adversarial_game,
)
from gancore.games.training_step import TrainingStep
from gancore.nn import Recurrent, SequenceGenerator
from gancore.random import Key
from gancore.training.setup import set_up

V, LENGTH, BATCH, REPEATS, SEEDS = 3, 3, 64, 400, 3
ALL = torch.tensor(list(itertools.product(range(V), repeat=LENGTH)))

ESTIMATORS: dict[str, tuple[bool, int, Callable[[], Estimator]]] = {
    "Reinforce, no baseline": (False, 0, lambda: Reinforce(baseline="none")),
    "Reinforce, EMA": (False, 0, lambda: Reinforce(baseline="ema")),
    "Reinforce, by position": (False, 0, lambda: Reinforce(baseline="position")),
    "Reinforce, learned": (False, 0, lambda: Reinforce(baseline="learned")),
    "Reinforce, 4 rollouts, EMA": (False, 0, lambda: Reinforce(baseline="ema", rollouts=4)),
    "dense Reinforce, no baseline": (True, 0, lambda: Reinforce(baseline="none")),
    "dense Reinforce, by position": (True, 0, lambda: Reinforce(baseline="position")),
    "dense Reinforce, discount .9": (True, 0, lambda: Reinforce(0.9, baseline="position")),
    "dense Reinforce, discount .23": (True, 0, lambda: Reinforce(0.23, baseline="position")),
    "Gumbel, straight through, 1": (False, 0, lambda: StraightThroughGumbel(1.0)),
    "Gumbel, straight through, .3": (False, 0, lambda: StraightThroughGumbel(0.3)),
    "Gumbel, soft rows (RelGAN), .3": (False, 0, lambda: StraightThroughGumbel(0.3, hard=False)),
}
"""For each row: whether rewards are dense, the number of latents, and the estimator."""


class SequenceDiscriminator(TokenDiscriminator):
    """A smooth function of a sequence with one logit, or one for each position of the tokens up to it."""

    def __init__(self, dense: bool) -> None:
        super().__init__(V, 4)
        self.layer = nn.Linear(4 if dense else LENGTH * 4, 1)
        self.layer.weight.data.mul_(8)
        self.dense = dense

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        read = embedded.cumsum(1) if self.dense else embedded.flatten(1)
        logits: Tensor = self.layer(read.tanh())[..., 0]
        return logits


def generator(latent: int) -> SequenceGenerator:
    model = SequenceGenerator(Recurrent(4, 5, cell="lstm", condition=latent), V, LENGTH, latent=latent)
    for parameter in model.parameters():
        parameter.data.add_(0.5 * torch.randn_like(parameter))
    return model


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).double()


def measure(seed: int, dense: bool, latent: int, estimator: Callable[[], Estimator]) -> tuple[float, ...]:
    """Bias, its standard error, cosine, standard deviation of one row, processor milliseconds for a move."""
    torch.manual_seed(seed)
    game = adversarial_game(
        generator=lambda: generator(latent),
        discriminator=lambda: SequenceDiscriminator(dense),
        estimator=estimator(),
    )
    setup = set_up(game, TensorView(ALL.repeat(4, 1)), batch_size=BATCH)
    move, networks = Move("generator"), list(game.generator.parameters())
    reward = logsigmoid(game.discriminator(ALL)).reshape(len(ALL), -1).sum(1).detach()
    exact = flat(list(torch.autograd.grad(-(game.generator.log_prob(ALL).exp() * reward).sum(), networks)))
    found, spent = [], 0.0
    for number in range(-100, REPEATS):  # first the baselines are trained, with a fixed generator
        step = TrainingStep(setup, game.phases[0], abs(number) + 1000 * (number < 0), 0, 1.0)
        started = time.process_time()
        gradient = step.gradient(move, step.draw(1))
        spent += time.process_time() - started
        game.after_move(move, {**gradient.means, **gradient.kept, "ok": torch.ones(())})
        learn(game.estimator, gradient.materialize(step.params("generator"))[len(networks) :])
        if number >= 0:
            found.append(flat(gradient.materialize(step.params("generator"))[: len(networks)]))
    samples = torch.stack(found)
    bias, scale = samples.mean(0) - exact, exact.norm()
    chance = samples.var(0).sum().div(REPEATS).sqrt() / scale
    cosine = torch.nn.functional.cosine_similarity(samples.mean(0), exact, dim=0)
    deviation = samples.var(0).sum().mul(BATCH).sqrt() / scale
    return *(float(x) for x in (bias.norm() / scale, chance, cosine, deviation)), 1e3 * spent / (
        REPEATS + 100
    )


def learn(estimator: nn.Module, gradients: list[Tensor]) -> None:
    """Take a step of gradient descent for a learned baseline."""
    with torch.no_grad():
        for parameter, gradient in zip(estimator.parameters(), gradients, strict=True):
            parameter.sub_(0.05 * gradient)


def print_table() -> None:
    print(f"V {V}, length {LENGTH}, batch {BATCH}, {REPEATS} draws, mean of {SEEDS} games\n")
    print("| estimator | bias | by chance | cosine | deviation of a row | ms |\n|---|---|---|---|---|---|")
    for name, (dense, latent, estimator) in ESTIMATORS.items():
        rows = [measure(seed, dense, latent, estimator) for seed in range(SEEDS)]
        means = [sum(column) / SEEDS for column in zip(*rows, strict=True)]
        print(f"| {name} | " + " | ".join(f"{value:.3g}" for value in means) + " |")


def print_memory(hard: bool, vocabulary: int = 20_000, length: int = 50, batch: int = 128) -> None:
    class Bag(TokenDiscriminator):
        def __init__(self) -> None:
            super().__init__(vocabulary, 64)
            self.layer = nn.Linear(64, 1)

        def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
            logits: Tensor = self.layer(embedded.tanh().mean(1))[:, 0]
            return logits

    torch.manual_seed(0)
    model = SequenceGenerator(Recurrent(64, 128, cell="lstm"), vocabulary, length, end=0)
    discriminator, before = Bag(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    fake = StraightThroughGumbel(0.5, hard).fake(model, batch, Key.of(1), None, 1.0)
    nn.functional.softplus(-discriminator(fake)).mean().backward()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    tensor = 4e-9 * vocabulary * length * batch
    print(
        f"V {vocabulary:,}, length {length}, batch {batch}, hard={hard}: {peak - before:.2f} GB above"
        f" {before:.2f} GB; one tensor of rows is {tensor:.2f} GB"
    )


def print_speed(vocabulary: int = 5_000, length: int = 20, batch: int = 64, repeats: int = 5) -> None:
    """Print processor seconds of a generator move with dense rewards and of one with 16 rollouts."""

    class Causal(TokenDiscriminator):
        def __init__(self, dense: bool) -> None:
            super().__init__(vocabulary, 64)
            self.trunk, self.layer, self.dense = Recurrent(64, 64), nn.Linear(64, 1), dense

        def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
            outputs = self.layer(self.trunk(embedded))[..., 0]
            return outputs if self.dense else outputs[:, -1]

    spent = {}
    for name, dense, estimator in (
        ("dense", True, Reinforce(baseline="position")),
        ("16 rollouts", False, Reinforce(rollouts=16)),
        ("straight-through Gumbel", False, StraightThroughGumbel(0.5)),
    ):
        game = adversarial_game(
            generator=lambda: SequenceGenerator(Recurrent(32, 32, cell="lstm"), vocabulary, length),
            discriminator=lambda dense=dense: Causal(dense),  # type: ignore[misc]
            estimator=estimator,
        )
        data = TensorView(Key.of("rows").integers(vocabulary, 256, length))
        setup, times = set_up(game, data, batch_size=batch), []
        for number in range(2 if name == "16 rollouts" else repeats):
            step = TrainingStep(setup, game.phases[0], number, 0, 1.0)
            draw, started = step.draw(1), time.process_time()
            step.gradient(Move("generator"), draw)
            times.append(time.process_time() - started)
        spent[name] = min(times)
        print(f"{name}: {spent[name]:.3f} s a move of the generator, 1 / {spent[name] / spent['dense']:.0f}")


def print_recipe_speed(vocabulary: int = 5_000, length: int = 20, batch: int = 64, repeats: int = 3) -> None:
    """Seconds of processor time a move of the generator, of recipes with their own discriminators."""
    from gancore_text.scratchgan import ScratchGAN
    from gancore_text.seqgan import SeqGAN

    spent = {}
    for name, recipe in (("scratchgan", ScratchGAN()), ("seqgan", SeqGAN())):
        config = recipe.Config(width=32, embedding_dim=32, batch_size=batch)
        game, times = recipe.build(config, text_spec(vocabulary, length)), []
        game.representation = Identity()
        data = TensorView(Key.of("rows").integers(vocabulary, 256, length + 1))
        setup = set_up(game, data, batch_size=batch)
        for number in range(1 if name == "seqgan" else repeats):
            step = TrainingStep(setup, game.phases[-1], number, 0, 1.0)
            draw, started = step.draw(1), time.process_time()
            step.gradient(Move("generator"), draw)
            times.append(time.process_time() - started)
        spent[name] = min(times)
        print(f"{name}: {spent[name]:.3f} s a move of the generator, {spent[name] / spent['scratchgan']:.0f}")


def text_spec(vocabulary: int, length: int) -> Spec:
    """The spec of texts of ``length`` of so many words."""
    from gancore_text.config import TextConfig
    from gancore_text.dataset import open_text

    words = [f"w{number}" for number in range(vocabulary)]
    lines = [" ".join(words[start : start + length]) for start in range(0, vocabulary, length)]
    with tempfile.TemporaryDirectory() as folder:
        for split, texts in {"train": lines, "valid": ["valid"], "test": ["test"]}.items():
            Path(folder, f"{split}.txt").write_text("".join(f"{text}\n" for text in texts))
        config = TextConfig(min_count=1, max_characters=10 * length)
        return open_text(Source("words", Path(folder)), config).spec


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", choices=["hard", "soft"])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--recipes", action="store_true")
    given = parser.parse_args()
    chosen = given.memory
    torch.set_num_threads(1)
    if given.speed:
        print_speed()
    elif given.recipes:
        print_recipe_speed()
    elif chosen:
        print_memory(chosen == "hard")
    else:
        print_table()
