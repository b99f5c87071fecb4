"""Tide gauges: water level, air pressure and temperature, every hour of two years."""

import numpy as np
from scipy.signal import lfilter

CHANNELS, HOURS = ["level (m)", "pressure (hPa)", "temperature (degC)"], 17_532
# M2, S2, N2, K2 and K1, O1, P1, Q1: periods in hours, and amplitudes over that of M2 and of K1 in the
# equilibrium tide (Cartwright and Edden 1973). The first four rise twice a day, the others once.
PERIODS = 12.4206012, 12, 12.65834751, 11.96723606, 23.93447213, 25.81933871, 24.06588766, 26.86835
SHARES = 1, 0.466, 0.191, 0.127, 1, 0.710, 0.331, 0.136


def weather(rng, days, deviation):
    """Smooth noise, (HOURS): autoregressive of second order, both roots at exp(-1 / (24 days))."""
    root = np.exp(-1 / (24 * days))
    noise = lfilter([1], [1, -2 * root, root**2], rng.standard_normal(HOURS + 2000))[2000:]
    return deviation * noise * ((1 - root**2) ** 3 / (1 + root**2)) ** 0.5


def gauge(number):
    """A gauge, (HOURS, 3): a tide of its own amplitudes and lags, surge, seasons, days and weather."""
    rng, hour = np.random.default_rng(number), np.arange(HOURS)[:, None]
    amplitudes = np.repeat(rng.lognormal(np.log([0.8, 0.3]), 0.6), 4) * SHARES * rng.lognormal(0, 0.15, 8)
    lags = np.repeat(rng.uniform(0, 2 * np.pi, 2), 4) + rng.normal(0, 0.4, 8)
    tide = (amplitudes * np.cos(2 * np.pi * hour / PERIODS - lags)).sum(1)
    pressure = weather(rng, 1.0, 9.0)
    surge = weather(rng, 0.4, 0.08) - 0.00995 * pressure  # the inverse barometer: 1 cm per hPa
    year, day = (np.cos(2 * np.pi * (hour[:, 0] - top) / period) for top, period in ((4800, 8766), (15, 24)))
    warmth = rng.normal(11, 3) + rng.uniform(4, 8) * year + rng.uniform(1, 4) * day
    return np.stack([tide + surge, 1013 + pressure, warmth + weather(rng, 1.5, 2.5)], axis=1)
