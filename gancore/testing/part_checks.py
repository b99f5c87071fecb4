"""Checks of measures and loggers that a plugin brings for domains of others, or for every domain."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from gancore.errors import text_of
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.evaluation_checks import check_value, real_evidence
from gancore.testing.order_checks import KnownSets, require_order
from gancore.testing.part_bench import LoggerBench, MeasureBench
from gancore.testing.toy import toy_bench

SCALARS = {"generator/loss": 0.7, "discriminator/loss": 1.3, "valid/nll": math.nan, "rate": math.inf}
"""What training may have to tell."""


def orders_known_sets(bench: MeasureBench) -> None:
    """It finds real data better than noise, or no worse, and than one sample repeated, as it declares.

    On the tiny data of a domain that it names, or on labelled points of the plane.
    """
    if not require_order(bench.entry.name, bench.measure, KnownSets(bench.home)):
        raise NotApplicable(f"the data of {bench.home.subject} have not what it needs")


def bounds_its_value(bench: MeasureBench) -> None:
    """It looks at what it declares alone, gives the same again, and its interval holds its value.

    Shown are real rows with likelihoods, and where they are labelled, a judge and its posteriors.
    """
    check_value(bench.entry.name, bench.measure, real_evidence(bench.home, [bench.measure]))


def takes_a_run(bench: LoggerBench) -> None:
    """Made with a run's folder, it takes scalars (NaN too), samples with their files, and close.

    The samples are 4 points of the plane with labels, as from any domain.
    """
    samples = toy_bench().samples(4)
    with tempfile.TemporaryDirectory(prefix="gancore-check-") as place:
        file = Path(place) / "0001.txt"
        file.write_text("a sample")
        calls: list[tuple[str, tuple[object, ...]]] = [
            ("scalars", (1, dict(SCALARS))),
            ("samples", (1, samples, [file])),
            ("scalars", (2, dict(SCALARS))),
            ("close", ()),
        ]
        doing = "making it with the run's folder"
        try:
            logger = bench.make(Path(place))
            for call, given in calls:
                doing = call
                getattr(logger, call)(*given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # asyncio.CancelledError is no Exception
            raise Breach(
                f"{doing} raises {type(error).__name__}: {text_of(error)}",
                "define scalars(step, numbers), samples(step, samples, paths) and close()",
            ) from error
