"""Does a model trained on FSDD say digits? Generated samples beside recordings it never saw.

    python benchmarks/fsdd_digits.py                      # the classifier, the recordings, the controls
    python benchmarks/fsdd_digits.py runs/my-run -n 1000  # and a run or model folder

The held-out recordings are the official test split (index 0-4, 300 clips); sounds are 4096 samples at
8 kHz, peak-normalised, zero-padded or cut. A small log-mel CNN is trained on the official train split
and cached. Controls: Gaussian noise with the long-term spectrum of the train recordings, the same under
their mean envelope, and recordings of the train split.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from gancore_audio.diagnosis import diagnose, faults
from gancore_audio.measures import clip_features, frechet, pairwise_distance, spectra, spectrum_distance
from gancore_audio.spectrogram import log_mel, picture
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gancore.errors import GancoreError

RATE_HZ, TIME = 8000, 4096
TEST_INDICES = range(5)
SPECTRA = ((64, -60.0), (32, -40.0))
"""(bands, floor in dB): the domain's measures, and a coarser look that padding and hiss decide less."""
DIGIT_SHARE = 0.04
"""A digit is said when at least this share of the samples is heard as it."""


@dataclass
class Recordings:
    clips: list[np.ndarray]  # (time) each, at peak 1
    digits: Tensor  # (n) int64

    def windows(self, random: np.random.Generator | None = None) -> Tensor:
        """(n, 1, 4096): longer clips cut at their start, or at random."""
        rows = torch.zeros(len(self.clips), 1, TIME)
        for row, clip in zip(rows, self.clips, strict=True):
            start = 0 if random is None else random.integers(max(1, len(clip) - TIME + 1))
            part = clip[start : start + TIME]
            row[0, : len(part)] = torch.from_numpy(part)
        return rows


def read_fsdd(root: Path) -> tuple[Recordings, Recordings]:
    """The official train (index 5-49) and test (0-4) splits."""
    splits: tuple[list, list] = ([], [])
    for path in sorted((root / "fsdd" / "recordings").glob("*.flac")):
        digit, _, index = path.stem.split("_")
        clip, rate_hz = soundfile.read(path, dtype="float32")
        assert rate_hz == RATE_HZ, path
        splits[int(index) in TEST_INDICES].append((clip / np.abs(clip).max(), int(digit)))
    if not all(splits):
        raise SystemExit(
            f"no FSDD under {root}: set GANCORE_DATA to the folder that holds fsdd/recordings/*.flac"
        )
    train, test = (
        Recordings([clip for clip, _ in s], torch.tensor([digit for _, digit in s])) for s in splits
    )
    return train, test


class DigitNet(nn.Module):
    """Log-mel (n, 1, 40 bands, 33 frames) to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 32, 64)
        blocks = (
            (nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
            for a, b in itertools.pairwise(widths)
        )
        self.body = nn.Sequential(*(layer for block in blocks for layer in block))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 5 * 4, 10))

    def forward(self, spectra: Tensor) -> Tensor:
        return self.head(self.body(spectra))

    @staticmethod
    def spectra(waveforms: Tensor) -> Tensor:
        return log_mel(waveforms.flatten(1), RATE_HZ, bands=40, hop=128)[:, None] / 40 + 1


def train_classifier(train: Recordings, epochs: int = 16, batch_size: int = 64) -> DigitNet:
    """Adam with one-cycle rates, over random windows, gains and shifts."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    net = DigitNet()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    rounds = epochs * -(-len(train.clips) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, rounds)
    for _ in range(epochs):
        spectra = net.spectra(augmented(train.windows(random)))
        for rows in torch.randperm(len(spectra)).split(batch_size):
            loss = nn.functional.cross_entropy(net(spectra[rows]), train.digits[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def augmented(waveforms: Tensor) -> Tensor:
    """Up to 25 ms late, 0 to 12 dB softer, over noise of -30 to -80 dB: loudness and hiss say nothing."""
    shifts = torch.randint(0, RATE_HZ // 40, (len(waveforms),))
    late = torch.stack(
        [nn.functional.pad(w, (s, 0))[:, :TIME] for w, s in zip(waveforms, shifts.tolist(), strict=True)]
    )
    gain, hiss = (10 ** (-torch.empty(len(late), 1, 1).uniform_(*db) / 20) for db in ((0, 12), (30, 80)))
    return gain * late + hiss * torch.randn_like(late)


def classifier(train: Recordings, test: Recordings, cache: Path) -> DigitNet:
    """From the cache, else trained now; prints its test accuracy."""
    net, begun = DigitNet().eval(), time.perf_counter()
    if cache.is_file():
        net.load_state_dict(load_file(cache))
    else:
        net = train_classifier(train)
        cache.parent.mkdir(parents=True, exist_ok=True)
        save_file(net.state_dict(), cache)
    accuracy = (posteriors(net, test.windows()).argmax(1) == test.digits).float().mean()
    seconds = time.perf_counter() - begun
    print(
        f"classifier: {100 * accuracy:.1f} % of {len(test.clips)} test recordings, {seconds:.0f} s, {cache}"
    )
    return net


@torch.no_grad()
def posteriors(net: DigitNet, waveforms: Tensor) -> Tensor:
    return net(net.spectra(waveforms)).softmax(1)


def generate(folder: Path, n: int, seed: int) -> Tensor:
    """(n, 1, 4096) from a run or model folder."""
    from gancore import api

    try:
        samples = api.load(folder).sample(n, seed=seed)
    except GancoreError as error:
        raise SystemExit(str(error)) from error
    waveforms, rate_hz = samples.data.float().cpu(), int(samples.spec["rate_hz"])
    if rate_hz != RATE_HZ or waveforms.shape[2] != TIME:
        raise SystemExit(
            f"{folder} makes {waveforms.shape[2]} samples at {rate_hz} Hz, not {TIME} at {RATE_HZ}"
        )
    return waveforms


def shaped_noise(n: int, recordings: Tensor, seed: int = 0) -> Tensor:
    """Gaussian noise (n, 1, time) with the mean power spectrum of recordings (m, 1, time)."""
    noise = torch.randn(n, 1, TIME, generator=torch.Generator().manual_seed(seed))
    power = torch.fft.rfft(recordings).abs().square().mean((0, 1)) / TIME
    return torch.fft.irfft(torch.fft.rfft(noise) * power.sqrt(), n=TIME)


def enveloped_noise(n: int, recordings: Tensor) -> Tensor:
    """The same noise under the recordings' mean power over time, smoothed over 32 ms."""
    power = recordings.square().mean((0, 1))[None, None]
    smooth = nn.functional.avg_pool1d(power, 257, 1, 128, count_include_pad=False)
    return shaped_noise(n, recordings) * (smooth / smooth.mean()).sqrt()


def row(name: str, sounds: Tensor, held_out: Tensor, net: DigitNet) -> str:
    """One line of the table."""
    found = {fault: int(rows.sum()) for fault, rows in faults(sounds, RATE_HZ).items()}
    cells = [
        f"{name:<24} {len(sounds):>4}",
        f"{found['silent']:>6} {found['constant']:>8} {found['clipped']:>7} {found['tone']:>4}",
    ]
    for bands, floor_db in SPECTRA:
        own, expected = (spectra(x, RATE_HZ, bands, floor_db) for x in (sounds, held_out))
        share = pairwise_distance(own) / pairwise_distance(expected)
        cells.append(f"{spectrum_distance(own, expected):>6.2f} {100 * share:>5.0f}")
    probability = posteriors(net, sounds)
    heard = torch.bincount(probability.argmax(1), minlength=10) / len(sounds)
    return "  ".join(
        [
            *cells,
            f"{frechet(clip_features(sounds, RATE_HZ), clip_features(held_out, RATE_HZ)):>7.0f}",
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
    "of the held-out recordings' own.\n"
    "a: 64 bands down to -60 dB, as the domain's measures; b: 32 bands down to -40 dB."
)


def side_by_side(generated: Tensor, recorded: Tensor, path: Path) -> None:
    """16 generated spectrograms on the left, 16 recorded ones on the right."""
    titles = [[f"{word} {n}" for n in range(1, 17)] for word in ("generated", "recorded")]
    left, right = (
        picture(sounds[:16, 0].numpy(), RATE_HZ, names)
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
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("GANCORE_DATA", shared)))
    parser.add_argument(
        "--out", type=Path, default=Path("build/fsdd_digits"), help="classifier cache and picture"
    )
    return parser.parse_args()


def main() -> None:
    given = arguments()
    train, test = read_fsdd(given.data_root)
    net = classifier(train, test, given.out / "classifier.safetensors")
    held_out, known = test.windows(), train.windows()
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
        print(row(name, sounds, held_out, net))
    for finding in diagnose(sets["generated"], RATE_HZ) if given.folder else ():
        print(f"{finding.name}: {finding.seen}; {finding.remedy}")


if __name__ == "__main__":
    main()
