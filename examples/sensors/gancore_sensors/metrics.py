"""Metrics of windows against reference windows."""

import torch

from gancore import Metric
from gancore.metrics import subsampling_interval


def mean_spectrum(windows):
    """Mean power spectrum of (n, channels, length) under a Hann window, dB: (channels, length // 2)."""
    hann = torch.hann_window(windows.shape[2], dtype=torch.float64, device=windows.device)
    centred = windows.double() - windows.double().mean(2, keepdim=True)
    return 10 * (torch.fft.rfft(centred * hann)[..., 1:].abs().square().mean(0) + 1e-6).log10()


def distance(inputs):
    difference = mean_spectrum(inputs.fake.samples) - mean_spectrum(inputs.real.samples)
    return float(difference.square().mean().sqrt())


spectrum_distance = Metric(distance, unit="dB", interval=subsampling_interval(distance, minimum=0))
