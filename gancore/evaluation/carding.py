"""An evaluation on the card of the model that it is about."""

from __future__ import annotations

from pathlib import Path

from gancore.errors import CheckpointError
from gancore.evaluation.reading import Evaluation, Reading
from gancore.files import LARGEST_JSON_BYTES, atomic_write, read_regular
from gancore.models.card import MeasuredFact, with_measures
from gancore.models.folder import CARD


def put_on_card(folder: Path, evaluation: Evaluation) -> None:
    """Replace the measures that the model's README.md tells by those readings that can be trusted.

    Where the card is a link, as in caches of downloaded models, it is read through it, and the new card
    takes the link's place: what the link leads to stays as it is.

    Raises:
        CheckpointError: there is no card, or it cannot be written.
    """
    file = folder / CARD
    try:
        card = read_regular(file.resolve(), LARGEST_JSON_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file} cannot be read", "leave out --card") from error
    told = [fact_of(reading) for reading in evaluation if reading.trusted and not reading.skipped]
    atomic_write(file, with_measures(card, told))


def fact_of(reading: Reading) -> MeasuredFact:
    features = f", features {reading.features} ({reading.features_hash[:12]})" if reading.features else ""
    bounds = None if reading.low is None or reading.high is None else (reading.low, reading.high)
    reference = f"{reading.n_real:,} rows of {reading.split} of {reading.source}{features}"
    value = float("nan") if reading.value is None else reading.value
    return MeasuredFact(reading.measure, value, reading.unit, reading.n, reference, bounds)
