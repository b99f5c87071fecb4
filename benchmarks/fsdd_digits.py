"""Compares samples of a model of FSDD with held-out recordings of spoken digits.

    python benchmarks/fsdd_digits.py                      # the classifier, the recordings, the controls
    python benchmarks/fsdd_digits.py runs/my-run -n 1000  # and a run or model folder

The held-out recordings are the official test split (index 0-4, 300 clips); sounds are 4096 samples at
8 kHz, peak-normalised, zero-padded or cut at their start. The recipe `classifier` is trained on the official
train split and stored. Controls are Gaussian noise with the long-term spectrum of the train recordings, this
noise with their mean envelope, and recordings of the train split.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from gancore_audio.config import AudioConfig
from gancore_audio.dataset import open_audio
from gancore_audio.diagnosis import diagnose, find_faults
from gancore_audio.export import spectrogram_grid
from gancore_audio.mel_metrics import log_mel_moments, log_mel_spectra, pairwise_distance, spectrum_distance
from gancore_audio.segments import SegmentView
from gancore_audio.sources import SOURCES
from PIL import Image
from torch import Tensor, nn

import gancore
from gancore.data.dataset import Batch
from gancore.data.sources import resolve_source
from gancore.errors import GancoreError
from gancore.metrics.frechet import frechet_distance
from gancore.metrics.intervals import clopper_pearson
from gancore.random import Key

RATE_HZ, TIME = 8000, 4096
SPECTRA = ((64, -60.0), (32, -40.0))
"""(bands, floor in dB) of the domain's metrics, and of a coarser one with less effect of padding and hiss."""
DIGIT_SHARE = 0.04
"""A digit is counted if at least this share of the samples is classified as it."""
ROWS = 256
"""The number of sounds that the classifier processes at a time."""


def read_fsdd(root: Path) -> tuple[Batch, Batch]:
    """All of the official train (index 5-49) and test (0-4) splits, cut at their start."""
    data = open_audio(resolve_source("fsdd", SOURCES, root, print), AudioConfig(length=TIME, crop="start"))
    train, valid, test = (
        everything(view) for view in (data.view("train"), data.view("valid"), data.view("test"))
    )
    pairs = zip((train.data, train.condition), (valid.data, valid.condition), strict=True)
    return Batch(*(torch.cat(pair) for pair in pairs)), test


def everything(view: SegmentView) -> Batch:
    return view.get_batch(torch.arange(len(view)), Key.of("all"))


def classifier(test: Batch, root: Path, folder: Path, seed: int) -> nn.Module:
    """Train the classifier, or load it from its folder; print its accuracy with an interval."""
    if not (folder / "model").is_dir():
        print(f"training the recipe classifier, seed {seed}, into {folder}")
        gancore.train(
            "audio",
            recipe="classifier",
            data="fsdd",
            overrides=[f"data.length={TIME}"],
            seed=seed,
            data_root=root,
            out=folder,
            progress="none",
        )
    model = gancore.load(folder, "cpu")
    right, n = int((posteriors(model.sampler, test.data).argmax(1) == test.condition).sum()), len(test)
    low, high, _ = clopper_pearson(right, n)
    print(f"classifier: {right} of {n} test recordings, {right / n:.1%} ({low:.1%} to {high:.1%}), {folder}")
    return model.sampler


@torch.no_grad()
def posteriors(judge: nn.Module, waveforms: Tensor) -> Tensor:
    return torch.cat([judge.log_posteriors(part).exp() for part in waveforms.split(ROWS)])


def generate(folder: Path, n: int, seed: int) -> Tensor:
    """Samples (n, 1, 4096) of a run or model folder."""
    try:
        samples = gancore.load(folder).sample(n, seed=seed)
    except GancoreError as error:
        raise SystemExit(str(error)) from error
    waveforms, sample_rate_hz = samples.data.float().cpu(), int(samples.spec["sample_rate_hz"])
    if sample_rate_hz != RATE_HZ or waveforms.shape[2] != TIME:
        raise SystemExit(
            f"{folder} gives {waveforms.shape[2]} samples at {sample_rate_hz} Hz, not {TIME} at {RATE_HZ}"
        )
    return waveforms


def shaped_noise(n: int, recordings: Tensor, seed: int = 0) -> Tensor:
    """Gaussian noise (n, 1, time) with the mean power spectrum of recordings (m, 1, time)."""
    noise = torch.randn(n, 1, TIME, generator=torch.Generator().manual_seed(seed))
    power = torch.fft.rfft(recordings).abs().square().mean((0, 1)) / TIME
    return torch.fft.irfft(torch.fft.rfft(noise) * power.sqrt(), n=TIME)


def enveloped_noise(n: int, recordings: Tensor) -> Tensor:
    """The noise with the mean power of the recordings over time, smoothed over 32 ms."""
    power = recordings.square().mean((0, 1))[None, None]
    smooth = nn.functional.avg_pool1d(power, 257, 1, 128, count_include_pad=False)
    return shaped_noise(n, recordings) * (smooth / smooth.mean()).sqrt()


def row(name: str, sounds: Tensor, held_out: Tensor, judge: nn.Module) -> str:
    """One line of the table."""
    found = {fault: int(rows.sum()) for fault, rows in find_faults(sounds, RATE_HZ).items()}
    cells = [
        f"{name:<24} {len(sounds):>4}",
        f"{found['silent']:>6} {found['constant']:>8} {found['clipped']:>7} {found['tone']:>4}",
    ]
    for bands, floor_db in SPECTRA:
        own, expected = (log_mel_spectra(x, RATE_HZ, bands, floor_db) for x in (sounds, held_out))
        share = pairwise_distance(own) / pairwise_distance(expected)
        cells.append(f"{spectrum_distance(own, expected):>6.2f} {100 * share:>5.0f}")
    probability = posteriors(judge, sounds)
    heard = torch.bincount(probability.argmax(1), minlength=10) / len(sounds)
    return "  ".join(
        [
            *cells,
            f"{frechet_distance(log_mel_moments(held_out, RATE_HZ), log_mel_moments(sounds, RATE_HZ)):>7.0f}",
            f"{int((heard >= DIGIT_SHARE).sum()):>6} {100 * float(probability.amax(1).mean()):>10.1f}",
            " ".join(f"{100 * float(digit):>3.0f}" for digit in heard),
        ]
    )


HEADER = (
    f"{'set':<24} {'n':>4}  silent constant clipped tone  a: dB     %  b: dB     %  frechet"
    "  digits confidence  share of digits 0-9 in %"
)
LEGEND = (
    "dB: RMS difference of the mean log-mel spectra; %: mean pairwise log-mel distance as a share\n"
    "of that of the held-out recordings.\n"
    "a: 64 bands down to -60 dB, as in the domain's metrics; b: 32 bands down to -40 dB."
)


def side_by_side(generated: Tensor, recorded: Tensor, path: Path) -> None:
    """16 generated spectrograms on the left, 16 recorded ones on the right."""
    titles = [[f"{word} {n}" for n in range(1, 17)] for word in ("generated", "recorded")]
    left, right = (
        spectrogram_grid(sounds[:16, 0].numpy(), RATE_HZ, names)
        for sounds, names in zip((generated, recorded), titles, strict=True)
    )
    sheet = Image.new("RGB", (left.width + right.width + 24, left.height), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width + 24, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def arguments() -> argparse.Namespace:
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, help="a run or model folder; none: recordings and controls alone"
    )
    parser.add_argument("-n", type=int, default=256, help="samples to generate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classifier-seed", type=int, default=0)
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("GANCORE_DATA", shared)))
    parser.add_argument(
        "--out", type=Path, default=Path("build/fsdd_digits"), help="classifier cache and picture"
    )
    return parser.parse_args()


def main() -> None:
    given = arguments()
    train, test = read_fsdd(given.data_root)
    judge = classifier(
        test, given.data_root, given.out / f"classifier-{given.classifier_seed}", given.classifier_seed
    )
    held_out, known = test.data, train.data
    some = torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[: given.n]
    sets = {
        "held-out recordings": held_out,
        "train recordings": known[some],
        "shaped noise": shaped_noise(given.n, known),
        "shaped noise, enveloped": enveloped_noise(given.n, known),
    }
    if given.folder:
        sets["generated"] = generate(given.folder, given.n, given.seed)
        mixed = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(1))[:16]
        side_by_side(sets["generated"], held_out[mixed], given.out / "generated-and-recorded.png")
        print(f"picture: {given.out / 'generated-and-recorded.png'}")
    print(f"against {len(held_out)} held-out recordings; seed {given.seed}\n{LEGEND}\n{HEADER}")
    for name, sounds in sets.items():
        print(row(name, sounds, held_out, judge))
    for finding in diagnose(sets["generated"], RATE_HZ) if given.folder else ():
        print(f"{finding.name}: {finding.message}; {finding.fix}")


if __name__ == "__main__":
    main()
