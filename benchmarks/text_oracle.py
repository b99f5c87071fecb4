"""SeqGAN's oracle: language model, REINFORCE GANs and their constant-reward control, as pairs of two NLLs.

    python benchmarks/text_oracle.py --out oracle-runs --data-root DATA
    python benchmarks/text_oracle.py --out oracle-runs --table

NLL_oracle is the mean of -log p of 1,000 samples under the oracle, NLL_test that of 1,000 other texts of the
oracle under the generator, both in nats a word. One of them alone says little: a lower temperature lowers
the first and raises the second. A generator is judged as a distribution of 20 of the 5,000 words, as
published figures are: its end and its unknown word have no probability here. NLL_oracle of real texts, the
entropy, is 5.73.

Every training is a run folder under ``--out``, which goes on where it was stopped; every finished one is
judged at the temperatures below, a line each of ``results.jsonl`` with the processor seconds of its training,
and is not made again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from gancore_text.oracle import LENGTH, Oracle
from gancore_text.tokenizer import END, UNKNOWN

import gancore
from gancore.nn.autoregressive import token_log_probs
from gancore.random import Key

SAMPLES, CHUNK, TEST_SEED = 1000, 100, 1_000_000
TEMPERATURES = {"lstm-lm": (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)}
OTHER_TEMPERATURES = (0.8, 1.0, 1.25)
SHAPE = ["model.width=32", "model.embedding_dim=32"]
PRETRAINED = ["model.pretraining_lr=1e-2"]
SCRATCHGAN = [
    *SHAPE,
    "model.batch_size=64",
    "model.discriminator_width=64",
    "model.discriminator_embedding=64",
    "model.discriminator_lr=3e-3",
    "model.baseline=position",
    "model.baseline_decay=0.9",
]
SEQGAN = ["model.pretraining=0.8", "model.discriminator_pretraining=0.15"]
MODELS: dict[str, tuple[str, int, list[str]]] = {
    "lstm-lm": ("lstm-lm", 1000, [*SHAPE, "model.dropout=0", "model.lr=1e-2"]),
    "scratchgan": ("scratchgan", 150, [*SCRATCHGAN, "model.lr=1e-2"]),
    "scratchgan, pretrained": (
        "scratchgan",
        625,
        [*SCRATCHGAN, *PRETRAINED, "model.lr=1e-3", "model.pretraining=0.8"],
    ),
    "scratchgan, pretrained, control": (
        "scratchgan",
        625,
        [*SCRATCHGAN[:-2], *PRETRAINED, "model.lr=1e-3", "model.pretraining=0.8", "model.reward=constant"],
    ),
    "seqgan": ("seqgan", 625, [*SEQGAN, "model.rollouts=1"]),
    "seqgan, control": ("seqgan", 625, [*SEQGAN, "model.reward=constant"]),
}
"""The recipe, its steps and settings. The published rollouts are 16; one is what this budget allows."""


def train(name: str, seed: int, folder: Path, data_root: Path | None) -> float:
    """Train, or go on; processor seconds so far."""
    recipe, steps, settings = MODELS[name]
    timed, before = folder.with_suffix(".seconds"), 0.0
    if timed.exists():
        before = float(timed.read_text())
    started = time.process_time()
    try:
        gancore.train(
            "text",
            data="oracle",
            recipe=recipe,
            steps=steps,
            seed=seed,
            overrides=[*settings, "train.precision=fp32", f"validation.every={steps}"],
            data_root=data_root,
            progress="none",
            **({"resume": folder} if folder.exists() else {"out": folder}),
        )
    finally:
        spent = before + time.process_time() - started
        timed.parent.mkdir(parents=True, exist_ok=True)
        timed.write_text(str(spent))
    return spent


@torch.no_grad()
def judge(folder: Path, temperatures: Sequence[float]) -> Iterator[dict[str, float]]:
    """For each temperature NLL_oracle and NLL_test in nats a word, and shares of different samples."""
    model: Any = gancore.load(folder)
    oracle, tokenizer = Oracle(model.spec["oracle"]), model.sampler.representation.tokenizer
    generator = model.sampler.model
    generator.length = LENGTH
    generator.bias[[END, UNKNOWN]] = -torch.inf
    test = [oracle.text_of(row) for row in oracle.sample(SAMPLES, TEST_SEED).tolist()]
    ids = torch.tensor([tokenizer.encode(text) for text in test])
    for temperature in temperatures:
        samples = generator.sample(SAMPLES, Key.of("text_oracle"), temperature=temperature)
        written = [tokenizer.decode(row) for row in samples.tolist()]
        log_probs = [
            token_log_probs(generator.logits(part) / temperature, part).sum(1) for part in ids.split(CHUNK)
        ]
        yield {
            "temperature": temperature,
            "nll_oracle": -float(oracle.log_prob_of_texts(written).mean()) / LENGTH,
            "nll_test": -float(torch.cat(log_probs).double().mean()) / LENGTH,
            "distinct": len(set(written)) / SAMPLES,
            "words": len(samples.unique()),
        }


def play(models: Sequence[str], seeds: Sequence[int], out: Path, data_root: Path | None) -> None:
    """Train and judge what has no lines in ``results.jsonl`` yet."""
    results = out / "results.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    for seed, name in ((seed, name) for seed in seeds for name in models):
        if any((line["model"], line["seed"]) == (name, seed) for line in finished(results)):
            continue
        folder = out / f"{name.replace(', ', '-')}-{seed}"
        seconds = train(name, seed, folder, data_root)
        temperatures = TEMPERATURES.get(name, OTHER_TEMPERATURES)
        found = [
            {"model": name, "seed": seed, "seconds": seconds, **row} for row in judge(folder, temperatures)
        ]
        with results.open("a") as file:  # one write, so that several processes may add lines
            file.write("".join(json.dumps(line) + "\n" for line in found))
        print(f"{name}, seed {seed}: {seconds:.0f} processor seconds", flush=True)


def finished(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def print_table(lines: list[dict[str, Any]]) -> None:
    """Means and, in brackets, standard deviations over seeds."""
    print("| model | temperature | NLL_oracle | NLL_test | distinct | words | seeds | processor s |")
    print("|---|---|---|---|---|---|---|---|")
    for name, temperature in dict.fromkeys((line["model"], line["temperature"]) for line in lines):
        rows = [line for line in lines if (line["model"], line["temperature"]) == (name, temperature)]
        cells = [_over_seeds([row[key] for row in rows]) for key in ("nll_oracle", "nll_test")]
        others = [statistics.mean(row[key] for row in rows) for key in ("distinct", "words", "seconds")]
        print(
            f"| {name} | {temperature:g} | {' | '.join(cells)} | {others[0]:.3f} | {others[1]:,.0f}"
            f" | {len(rows)} | {others[2]:.0f} |"
        )


def _over_seeds(values: list[float]) -> str:
    spread = f" ({statistics.stdev(values):.2f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--models", default=";".join(MODELS), help="names, with a semicolon between them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="print what is finished")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.table:
        play(given.models.split(";"), range(given.seeds), given.out, given.data_root)
    print_table(finished(given.out / "results.jsonl"))


if __name__ == "__main__":
    main()
