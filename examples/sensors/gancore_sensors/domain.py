"""The data, the files that samples are written to, and the metric."""

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pydantic import Field

import gancore
from gancore.data import digest_json, digest_tensors
from gancore.metrics import subsampling_interval
from gancore_sensors.tables import read_tables
from gancore_sensors.tides import CHANNELS, gauge

FAST, LIKELY = frozenset({"parallel"}), frozenset({"likelihood"})
GAN = gancore.RecipeEntry("convgan", "gancore_sensors.recipes:ConvGAN", "convolutions", capabilities=FAST)
DEEPAR = gancore.RecipeEntry("deepar", "gancore_sensors.recipes:DeepAR", "recurrent", capabilities=LIKELY)
SPECTRA = gancore.MetricEntry("spectra", "gancore_sensors.domain:SPECTRUM_DISTANCE", "distance of spectra")
TIDES = gancore.SourceEntry("tides", "level, pressure and temperature at tide gauges", "CC0-1.0")


class SensorsConfig(gancore.DataConfig):
    length: int = Field(336, ge=8, multiple_of=8, description="values of each channel in a window")
    missing: list[float] = Field([], description="numbers that mean a missing value, such as -9999")
    max_gap: int = Field(3, ge=0, description="missing values in a row that a straight line fills")
    gauges: int = Field(64, ge=1, description="gauges of the source tides")


class SensorsSchema(gancore.SpecSchema):
    channels: list[str]
    length: int = Field(ge=8, multiple_of=8)


class SensorsDomain(gancore.Domain):
    """Canonical samples are (batch, channels, length), standardised by means and scales of train."""

    name, Config, Schema, sources = "sensors", SensorsConfig, SensorsSchema, {"tides": TIDES}
    recipes, metrics = {"convgan": GAN, "deepar": DEEPAR}, {"spectra": SPECTRA}
    selection_metric = primary_metric = "spectra"

    def open(self, source, config):
        names, series, notes = CHANNELS, map(gauge, range(config.gauges)), []
        if source.path:
            names, series, notes = read_tables(source.path, config)
        parts = [np.split(rows, [len(rows) * 8 // 10, len(rows) * 9 // 10]) for rows in series]
        train, length, views = np.concatenate([part[0] for part in parts]), config.length, []
        means, scales = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
        for at, stride in enumerate((length // 8, length, length)):  # windows of train overlap
            rows = [torch.tensor((part[at] - means) / scales).float() for part in parts]
            cut = [row.unfold(0, length, stride) for row in rows if len(row) >= length]
            views += [torch.cat([w[w.isfinite().all(2).all(1)] for w in cut] or [torch.zeros(0)])]
        counts = "windows: train {:,}, valid {:,}, test {:,}".format(*map(len, views))
        if not all(map(len, views)):
            raise gancore.DataError(
                f"{source.name} has too few values without gaps; {counts}", "lower data.length"
            )
        tensors = {"means": torch.tensor(means)[:, None], "scales": torch.tensor(scales)[:, None]}
        spec = gancore.Spec({"channels": names, "length": length}, tensors)
        fingerprint = digest_json(names, digest_tensors([views, [*tensors.values()]]))
        return gancore.Data(
            *map(gancore.TensorView, views), spec, [", ".join(names), counts, *notes], fingerprint
        )

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

    def scale_spec(self, spec, factor):
        length = round(spec["length"] * factor / 8) * 8
        return gancore.Spec({**spec.fields, "length": length}, spec.tensors) if length else None

    def tiny_config(self):
        return {"data": {"length": 16, "gauges": 3}, "model": {"batch_size": 8}}


def mean_spectrum(windows):
    """Mean power spectrum of (n, channels, length) under a Hann window, dB: (channels, length // 2)."""
    hann = torch.hann_window(windows.shape[2], dtype=torch.float64, device=windows.device)
    centred = windows.double() - windows.double().mean(2, keepdim=True)
    return 10 * (torch.fft.rfft(centred * hann)[..., 1:].abs().square().mean(0) + 1e-6).log10()


def spectrum_difference(inputs):
    """Root mean square over channels and frequencies, dB."""
    difference = mean_spectrum(inputs.fake.samples) - mean_spectrum(inputs.real.samples)
    return float(difference.square().mean().sqrt())


SPECTRUM_DISTANCE = gancore.Metric(
    spectrum_difference, "dB", interval=subsampling_interval(spectrum_difference, minimum=0)
)
