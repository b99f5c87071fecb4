"""The built-in domain of arrays: rows of numbers of any shape, for games that a program builds."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from gancore.config import DataConfig
from gancore.data.arrays import distinct_rows, keeps_together, read_npy, split_rows
from gancore.data.dataset import Data, Spec, SpecSchema, TensorView
from gancore.data.labels import class_fields
from gancore.data.sources import LABELLED_FIELDS, Source
from gancore.data.splits import Split
from gancore.digests import digest_tensors
from gancore.domain import Domain
from gancore.errors import DataError
from gancore.random import evaluation_key
from gancore.samples import Samples
from gancore.text import count_noun

if TYPE_CHECKING:
    from PIL.Image import Image

FEWEST, MOST_CLASSES, GAP = 20, 1000, 2
FIX = "give an npy file, or an array, of finite numbers with the examples on its first axis"


class ArrayConfig(DataConfig):
    """Section ``data``: the split of an array into train, valid and test."""

    seed: int = Field(0, ge=0, lt=2**31, description="seed of the splits")
    validation_examples: PositiveInt = Field(
        10_000, description="largest number of examples of valid and of test, which are a tenth of the data"
    )


class ArraySchema(SpecSchema):
    """The shape of a row, and the range of its numbers in train."""

    shape: list[PositiveInt] = Field(max_length=8, description="shape of one row")
    low: list[float] = Field(description="smallest number in train; for rows of two numbers, of each")
    high: list[float] = Field(description="largest number in train; for rows of two numbers, of each")

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        count = 2 if self.shape == [2] else 1
        if not len(self.low) == len(self.high) == count:
            raise ValueError(f"low and high must have {count} each for rows of shape {self.shape}")
        return self


class ArrayDomain(Domain):
    """Arrays of rows. Canonical samples are the rows of the data, (batch, *shape) float32.

    Conditions are the integer labels of a data set of (row, label) pairs. The spec has ``shape``, ``low``,
    ``high`` and, with labels, ``classes``. There are no recipes: a program passes ``game=``.
    """

    name = "arrays"
    Config = ArrayConfig
    Schema = ArraySchema

    def open(self, source: Source, config: ArrayConfig) -> Data:
        if source.path is None:
            raise DataError("this domain has no built-in data", FIX)
        rows, labels = _read(source.path)
        names, classes = _classes(labels)
        content = distinct_rows(rows.flatten(1))
        together = keeps_together(content)
        order = evaluation_key("splits", config.seed)
        splits = split_rows(
            content if together else torch.arange(len(rows)), order, config.validation_examples
        )
        train = splits["train"]
        fields = _spec(rows[train], source.name)
        fields |= class_fields(names, None if classes is None else classes[train])
        views = {
            name: TensorView(rows[at], None if classes is None else classes[at])
            for name, at in splits.items()
        }
        return Data(
            train=views["train"],
            valid=views["valid"],
            test=views["test"],
            spec=Spec(fields),
            summary=_summary(source.name, rows, splits, names, content),
            fingerprint=digest_tensors([rows, classes, *splits.values()])[:32],
        )

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        """Write ``samples.npy``, with labels ``labels.txt``, with a preview ``overview.png``."""
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "samples.npy"]
        np.save(written[0], samples.data.detach().float().cpu().numpy())
        if samples.condition is not None:
            written.append(folder / "labels.txt")
            written[-1].write_text("\n".join(samples.labels()) + "\n")
        picture = self.preview(samples)
        if picture is not None:
            written.append(folder / "overview.png")
            picture.save(written[-1])
        return written

    def preview(self, samples: Samples) -> Image | None:
        """A scatter plot of rows of two numbers, or a grid of rows with height and width; otherwise None."""
        if samples.spec["shape"] == [2]:
            return _scatter(samples)
        pictures = _as_pictures(samples)
        return None if pictures is None else _grid(pictures, samples.columns)


def _read(path: Path) -> tuple[Tensor, Tensor | None]:
    """Read rows (n, ...) float32, and their integer labels (n,) if the file has pairs.

    Raises:
        DataError: the file is not such an array.
    """
    array, labels = read_npy(path, FIX), None
    if array.dtype.names == LABELLED_FIELDS:
        array, labels = array["data"], torch.from_numpy(array["label"].astype(np.int64))
    if array.dtype.kind not in "biuf" or array.ndim < 2 or not array.size:
        raise DataError(f"{path} has an array of {array.dtype} of shape {array.shape}", FIX)
    if len(array) < FEWEST:
        raise DataError(f"{path} has {len(array)} rows", f"give at least {FEWEST} rows")
    with np.errstate(over="ignore"):  # values beyond float32 are reported below
        rows = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    broken = ~rows.flatten(1).isfinite().all(1)
    if broken.any():
        row = int(broken.int().argmax())
        raise DataError(f"row {row} of {path} has values that are not finite in float32", "remove such rows")
    return rows, labels


def _classes(labels: Tensor | None) -> tuple[list[str], Tensor | None]:
    """The names of the labels, in ascending order, and the class of each row."""
    if labels is None:
        return [], None
    values, classes = np.unique(labels.numpy(), return_inverse=True)
    if len(values) > MOST_CLASSES:
        raise DataError(f"the data have {len(values):,} labels", f"give at most {MOST_CLASSES:,} classes")
    return [str(value) for value in values.tolist()], torch.from_numpy(classes)


def _spec(train: Tensor, source: str) -> dict[str, Any]:
    columns = train if train.shape[1:] == (2,) else train.reshape(-1, 1)
    low, high = columns.amin(0).tolist(), columns.amax(0).tolist()
    return {"source": source, "shape": list(train.shape[1:]), "low": low, "high": high}


def _summary(
    source: str, rows: Tensor, splits: Mapping[Split, Tensor], classes: list[str], content: Tensor
) -> list[str]:
    shape = "x".join(map(str, rows.shape[1:]))
    lines = [
        f"data: {source}, an array; numbers from {float(rows.min()):g} to {float(rows.max()):g}",
        f"rows: {shape}; " + ", ".join(f"{len(at):,} {split}" for split, at in splits.items()),
        f"labels: {count_noun(len(classes), 'value') if classes else 'none'}",
    ]
    if repeated := len(rows) - 1 - int(content.max()):
        where = (
            "equal rows are in one split" if keeps_together(content) else "equal rows are in several splits"
        )
        lines.append(f"repeated: {count_noun(repeated, 'row')}; {where}")
    return lines


# Pictures


def _as_pictures(samples: Samples) -> NDArray[np.uint8] | None:
    """Rows of shape (H, W), (1 or 3, H, W) or (H, W, 1 or 3) as pictures (n, H, W, 3); otherwise None.

    The range of train is scaled from black to white.
    """
    data = samples.data.detach().float().cpu().nan_to_num()
    data = data.unsqueeze(1) if data.dim() == 3 else data
    if data.dim() == 4 and data.shape[1] not in (1, 3):
        data = data.movedim(-1, 1)
    if data.dim() != 4 or data.shape[1] not in (1, 3) or min(data.shape[2:]) < 4:
        return None
    low, high = samples.spec["low"][0], samples.spec["high"][0]
    levels = ((data - low) / max(high - low, 1e-12)).clamp(0, 1) * 255
    return np.asarray(levels.round().movedim(1, -1).expand(-1, -1, -1, 3).numpy(), dtype=np.uint8)


def _grid(pictures: NDArray[np.uint8], columns: int) -> Image:
    """A grid of pictures (n, H, W, 3); without ``columns``, it is as square as possible."""
    from PIL import Image

    n, height, width, _ = pictures.shape
    columns = columns or max(1, math.ceil(math.sqrt(n)))
    rows = max(1, math.ceil(n / columns))
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 128, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        top = GAP + number // columns * (height + GAP)
        left = GAP + number % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    scale = max(1, 96 // max(height, width))
    size = sheet.shape[1] * scale, sheet.shape[0] * scale
    return Image.fromarray(sheet).resize(size, Image.Resampling.NEAREST)


def _scatter(samples: Samples) -> Image:
    """A scatter plot of samples within the range of train."""
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(4, 4), dpi=100)
    axes = figure.add_subplot()
    points = samples.data.detach().float().cpu().nan_to_num()
    colours = None if samples.condition is None else samples.condition.cpu().numpy()
    x, y = points.T.numpy()
    axes.scatter(x, y, s=6, c=colours, cmap=None if colours is None else "tab10")
    low, high = (np.array(samples.spec[name]) for name in ("low", "high"))
    margin = np.maximum(high - low, 1e-6) * 0.1
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    axes.set_title(f"{samples.spec['source']}: {len(samples)} samples", fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")
