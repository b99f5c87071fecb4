"""The tide gauges follow from the sky, and messy tables become the numbers that are in them."""

import numpy as np
import pytest
import torch
from gancore_sensors.domain import SensorsConfig, SensorsDomain
from gancore_sensors.sources import HOURS, PERIODS, gauge, weather

from gancore import DataError, Samples, Source

M2, S2, N2, K2, K1, O1, P1, Q1 = (1 / period for period in PERIODS)


def test_periods_satisfy_the_relations_of_their_speeds():
    """Of the speeds in terms of the moon's day, its month and the year (Doodson's numbers)."""
    for total, parts in ((M2, K1 + O1), (S2, K1 + P1), (K2, 2 * K1), (N2, K1 + Q1), (S2, 1 / 12)):
        assert total == pytest.approx(parts, rel=1e-6)
    assert pytest.approx(14.765, abs=0.001) == 1 / (S2 - M2) / 24  # from spring tide to spring tide, days


def test_weather_has_its_deviation_and_correlation():
    noise = weather(np.random.default_rng(0), 0.1, 3.0)
    lag, root = 2, np.exp(-1 / 2.4)
    expected = root**lag * (1 + lag * (1 - root**2) / (1 + root**2))  # of two equal roots
    assert noise.std() == pytest.approx(3.0, rel=0.05)
    assert np.corrcoef(noise[lag:], noise[:-lag])[0, 1] == pytest.approx(expected, abs=0.03)


def test_a_gauge_is_tide_and_inverse_barometer():
    """Harmonic analysis: least squares by the constituents and the pressure."""
    level, pressure, _ = gauge(3).T
    turns = 2 * np.pi * np.arange(HOURS)[:, None] / PERIODS
    design = np.hstack([np.cos(turns), np.sin(turns), pressure[:, None] - 1013])
    solution, (residual,), *_ = np.linalg.lstsq(design, level, rcond=None)
    assert solution[-1] == pytest.approx(-0.00995, abs=0.001)
    assert (residual / HOURS) ** 0.5 == pytest.approx(0.08, rel=0.2)  # the surge that is left
    assert np.ptp(gauge(4)[:, 0] - level) > 0.5


def opened(folder, **settings):
    config = SensorsConfig(length=16, **settings)
    return SensorsDomain().open(Source(folder.name, folder), config)


def rows(data, split="train"):
    """The windows of a split in the units of the table."""
    view = data.view(split)
    return view.data * data.spec["scales"] + data.spec["means"]


def test_tables_of_two_programs_become_one_data_set(tmp_path):
    hours = range(800)
    (tmp_path / "a.csv").write_text(
        "\ufeff# logger 7\ntime;level #1;wind;state;serial\n"
        + "".join(
            f"2024-01-01 {h};{'NA' if h == 5 else str(h % 7 / 4).replace('.', ',')};{h % 5};fine;7\n"
            for h in hours
        )
        + "torn;1\n"
    )
    lines = [f"{h}\t{-9999 if 20 <= h < 30 else h % 7 / 4}\t{h % 5}\n" for h in range(400)]
    (tmp_path / "b.tsv").write_text("n\tlevel #1\twind\n" + "".join(lines))
    (tmp_path / "notes.md").write_text("no table")
    data = opened(tmp_path, missing=[-9999])
    assert data.spec["channels"] == ["level #1", "wind"]
    told = " ".join(data.summary)
    for name, reason in (("time", "no numbers"), ("state", "no numbers"), ("serial", "constant"), ("n", "c")):
        assert f"left out: {name} of" in told and reason in told
    first = rows(data)[0].numpy()
    np.testing.assert_allclose(first[0, :5], np.arange(5) % 7 / 4, atol=1e-5)
    assert first[0, 5] == pytest.approx((4 / 4 + 6 / 4) / 2, abs=1e-5)  # on the line between its neighbours
    inside = [start for start in range(0, 320 - 16 + 1, 2) if start + 16 <= 23 or start >= 30]
    assert len(data.view("train")) == len(range(0, 640 - 16 + 1, 2)) + len(inside)


def test_splits_follow_each_other_in_time(tmp_path):
    (tmp_path / "a.csv").write_text("x\n" + "".join(f"{h * h}\n" for h in range(400)))
    data = opened(tmp_path / "a.csv")
    parts = [rows(data, split) for split in ("train", "valid", "test")]
    roots = [(part.amin().sqrt().item(), part.amax().sqrt().item()) for part in parts]
    for (low, high), (start, end) in zip(roots, ((0, 319), (320, 359), (360, 399)), strict=True):
        assert start - 1 <= low and high <= end + 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "(empty)"),
        ("a,b\n", "constant"),
        ("a,b\nx,y\nz,y\n", "a of t.csv"),
        ("a\n1\n2\n4\n", "train 0"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_the_reason(tmp_path, text, named):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "t.csv")
    assert named in str(caught.value) and "t.csv" in str(caught.value)


def test_samples_are_written_in_units(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{h % 9},{100 + h % 4}\n" for h in range(400)))
    data = opened(tmp_path / "a.csv")
    samples = Samples(data.view("test").data[:2], data.spec)
    table, *_, picture = SensorsDomain().write(samples, tmp_path / "out")
    written = np.genfromtxt(table, delimiter=",", names=True)
    assert written.dtype.names == ("x", "y") and picture.suffix == ".png"
    assert set(np.round(written["y"])) == {100, 101, 102, 103}
    torch.testing.assert_close(
        torch.tensor(written["x"]), (torch.arange(360, 376) % 9).double(), atol=1e-3, rtol=0
    )
