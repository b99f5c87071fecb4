"""The data, the files that samples are written to, and the metric."""

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pydantic import Field

import gancore
from gancore.data import digest_tensors
from gancore.metrics import subsampling_interval
from gancore_sensors.sources import CHANNELS, gauge, read_tables

FAST, LIKELY = frozenset({"parallel"}), frozenset({"parallel", "likelihood"})
GAN = gancore.RecipeEntry("convgan", "gancore_sensors.recipes:ConvGAN", "convolutions", capabilities=FAST)
NORMAL = gancore.RecipeEntry("gaussian", "gancore_sensors.recipes:Gaussian", "normal", capabilities=LIKELY)
SPECTRA = gancore.MetricEntry("spectra", "gancore_sensors.domain:spectra", "distance of power spectra")
TIDES = gancore.SourceEntry("tides", "level, pressure and temperature at tide gauges", "CC0-1.0")


class SensorsConfig(gancore.DataConfig):
    length: int = Field(336, ge=16, multiple_of=16, description="values of each channel in a window")
    missing: list[float] = Field([], description="numbers that mean a missing value, such as -9999")
    max_gap: int = Field(3, ge=0, description="missing values in a row that a straight line fills")
    gauges: int = Field(64, ge=1, description="gauges of the source tides")


class SensorsDomain(gancore.Domain):
    """Canonical samples are (batch, channels, length), standardised by means and scales of train."""

    name, Config, sources, metrics = "sensors", SensorsConfig, {"tides": TIDES}, {"spectra": SPECTRA}
    recipes, selection_metric, primary_metric = {"convgan": GAN, "gaussian": NORMAL}, "spectra", "spectra"

    def open(self, source, config):
        names, series, notes = CHANNELS, map(gauge, range(config.gauges)), []
        if source.path:
            names, series, notes = read_tables(source.path, config)
        length, views = config.length, []
        parts = [torch.tensor(r).float().tensor_split([len(r) * 8 // 10, len(r) * 9 // 10]) for r in series]
        for at, stride in enumerate((length // 8, length, length)):  # windows of train overlap
            cut = [part[at].unfold(0, length, stride) for part in parts if len(part[at]) >= length]
            views += [torch.cat([w[w.isfinite().all(2).all(1)] for w in cut] or [torch.zeros(0)])]
        counts = "windows: train {:,}, valid {:,}, test {:,}".format(*map(len, views))
        if not all(map(len, views)):
            raise gancore.DataError(f"{source.name} is too short, or has gaps; {counts}", "lower data.length")
        means, scales = views[0].mean((0, 2))[:, None], views[0].std((0, 2))[:, None]
        spec = gancore.Spec({"channels": names, "length": length}, {"means": means, "scales": scales})
        scaled = [gancore.TensorView((windows - means) / scales) for windows in views]
        return gancore.Data(*scaled, spec, [str(names), counts, *notes], digest_tensors(views))

    def in_units(self, samples):
        return (samples.data * samples.spec["scales"] + samples.spec["means"]).numpy()

    def write(self, samples, folder):
        folder.mkdir(parents=True, exist_ok=True)
        files, head = [folder / f"{stem}.csv" for stem in samples.file_stems()], samples.spec["channels"]
        for file, values in zip(files, self.in_units(samples), strict=True):
            np.savetxt(file, values.T, fmt="%.6g", delimiter=",", header=",".join(head), comments="")
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
        return {"data": {"length": 16, "gauges": 3}, "model": {"batch_size": 8}}


def power_difference(inputs):
    """The sum over frequencies of |difference| over the real power, mean of the channels: 0 to infinity."""
    fake, real = (torch.fft.rfft(r.samples).abs().square().mean(0) for r in (inputs.fake, inputs.real))
    return float(((fake - real).abs().sum(1) / real.sum(1)).mean())


spectra = gancore.Metric(power_difference, "", interval=subsampling_interval(power_difference, minimum=0))
