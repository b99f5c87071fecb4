"""The data, and the files that samples are written to."""

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pydantic import Field

import gancore
from gancore.data import digest_json, digest_tensors
from gancore_sensors.tables import read_tables
from gancore_sensors.tides import CHANNELS, gauge

FAST, LIKELY = frozenset({"parallel"}), frozenset({"likelihood"})
GAN = gancore.RecipeEntry("convgan", "gancore_sensors.recipes:ConvGAN", "convolutions", capabilities=FAST)
DEEPAR = gancore.RecipeEntry("deepar", "gancore_sensors.recipes:DeepAR", "recurrent", capabilities=LIKELY)
DISTANCE = gancore.MetricEntry("spectrum_distance", "gancore_sensors.metrics:spectrum_distance", "dB")
FIX = "lower data.length, or raise data.max_gap"
TIDES = gancore.SourceEntry("tides", "level, pressure and temperature at tide gauges", "CC0-1.0")


class SensorsConfig(gancore.DataConfig):
    length: int = Field(336, ge=8, multiple_of=8, description="values of each channel in a window")
    missing: list[float] = Field([], description="numbers that mean a missing value, such as -9999")
    max_gap: int = Field(3, ge=0, description="missing values in a row that a straight line fills")
    gauges: int = Field(64, ge=1, description="gauges of the source tides")


class SensorsSchema(gancore.SpecSchema):
    channels: list[str]
    length: int = Field(ge=8, multiple_of=8)
    means: list[float]
    scales: list[float]


def windows(series, length, stride):
    """The windows (n, channels, length) of series (rows, channels) in which no value is missing."""
    series = [torch.tensor(rows, dtype=torch.float32) for rows in series if len(rows) >= length]
    cut = torch.cat([rows.unfold(0, length, stride) for rows in series] or [torch.zeros(0, 1, length)])
    return gancore.TensorView(cut[cut.isfinite().all(2).all(1)])


class SensorsDomain(gancore.Domain):
    """Canonical samples are (batch, channels, length), standardised by means and scales of train."""

    name, Config, Schema = "sensors", SensorsConfig, SensorsSchema
    sources, recipes = {"tides": TIDES}, {"convgan": GAN, "deepar": DEEPAR}
    metrics, primary_metric, selection_metric = {DISTANCE.name: DISTANCE}, DISTANCE.name, DISTANCE.name

    def open(self, source, config):
        notes, names, series = [], CHANNELS, map(gauge, range(config.gauges))
        if source.path:
            series, names = read_tables(source.path, config, notes)
        parts = [np.split(rows, [int(0.8 * len(rows)), int(0.9 * len(rows))]) for rows in series]
        train = np.concatenate([part[0] for part in parts])
        means, scales = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
        views, length = [], config.length
        for at, stride in enumerate((length // 8, length, length)):  # windows of train overlap
            views.append(windows([(part[at] - means) / scales for part in parts], length, stride))
        counts = "windows: train {:,}, valid {:,}, test {:,}".format(*map(len, views))
        if not all(map(len, views)):
            raise gancore.DataError(f"too few values without gaps in {source.name}: {counts}", FIX)
        spec = dict(channels=names, length=length, means=means.tolist(), scales=scales.tolist())
        fingerprint = digest_json(spec, [digest_tensors(view.data) for view in views])
        return gancore.Data(*views, gancore.Spec(spec), [", ".join(names), counts, *notes], fingerprint)

    def scale_spec(self, spec, factor):
        length = round(spec["length"] * factor / 8) * 8
        return gancore.Spec({**spec.fields, "length": length}) if length else None

    def in_units(self, samples):
        means, scales = (torch.tensor(samples.spec[name])[:, None] for name in ("means", "scales"))
        return (samples.data * scales + means).numpy()

    def write(self, samples, folder):
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{stem}.csv" for stem in samples.file_stems()]
        for file, values in zip(files, self.in_units(samples), strict=True):
            head = ",".join(samples.spec["channels"])
            np.savetxt(file, values.T, fmt="%.6g", delimiter=",", header=head, comments="")
        self.preview(samples).save(folder / "overview.png")
        return [*files, folder / "overview.png"]

    def preview(self, samples):
        """A row for each of a few samples, with its first channels side by side."""
        names, rows = samples.spec["channels"][:4], samples.overview_count(8, 8)
        canvas = FigureCanvasAgg(Figure((4 * len(names), 0.4 + 1.1 * rows), layout="constrained"))
        axes = canvas.figure.subplots(rows, len(names), sharex=True, sharey="col", squeeze=False)
        for (row, column), axis in np.ndenumerate(axes):
            axis.plot(self.in_units(samples)[row, column], linewidth=0.8)
            axis.set_title(names[column] if row == 0 else "", fontsize=9)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")

    def tiny_config(self):
        return {"data": {"length": 16, "gauges": 3}, "model": {"width": 4, "batch_size": 8}}
