"""The hooks that a plugin may implement.

A plugin is a module that imports no torch and that an entry point of the group ``gancore`` names::

    [project.entry-points.gancore]
    tides = "gancore_tides"

It implements the hooks that it needs, each with the decorator ``hookimpl``. *Registration* hooks are called
once, when the plugin is loaded, and return entries (:mod:`gancore.entries`) that name classes as strings.
*Observers* are called after an event of a training, on rank 0 only; ``run`` is the run folder. Their return
values are ignored; an observer that raises an exception is reported and not called again. An implementation
may leave out arguments that it does not use.
"""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from gancore.entries import (
        CommandEntry,
        DomainEntry,
        DynamicsEntry,
        ExperimentEntry,
        FeatureExtractorEntry,
        GameEntry,
        LoggerEntry,
        LossEntry,
        MetricEntry,
        OptimizerEntry,
        PenaltyEntry,
        PretrainedModelEntry,
        RecipeEntry,
    )
    from gancore.run_folder import RunFolder

hookspec = pluggy.HookspecMarker("gancore")
hookimpl = pluggy.HookimplMarker("gancore")
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def gancore_domains() -> Iterable[DomainEntry]:
    """Kinds of data. ``--domain tides`` loads the plugin named ``tides`` first.

    ::

        @hookimpl
        def gancore_domains():
            return [DomainEntry("tides", "gancore_tides.domain:Tides", "hourly water levels at a gauge")]
    """


@hookspec
def gancore_recipes() -> Iterable[RecipeEntry]:
    """Recipes for a domain of another plugin; a domain's own recipes are in ``Domain.recipes``.

    ::

        @hookimpl
        def gancore_recipes():
            return [RecipeEntry("flow", "my_recipes:Flow", "coupling layers", domain="tides")]
    """


@hookspec
def gancore_losses() -> Iterable[LossEntry]:
    """Adversarial losses, chosen by name in a recipe's configuration.

    ::

        @hookimpl
        def gancore_losses():
            return [LossEntry("softplus-margin", "my_losses:SOFTPLUS_MARGIN", "softplus with a margin")]
    """


@hookspec
def gancore_penalties() -> Iterable[PenaltyEntry]:
    """Gradient penalties on the discriminator, chosen by name with ``model.penalty``.

    ``target`` names a function of (weight, every) that returns a ``gancore.games.PenaltyTerm``::

        @hookimpl
        def gancore_penalties():
            return [PenaltyEntry("dragan", "my_penalties:DRAGAN", "gradient norm 1 around reals")]
    """


@hookspec
def gancore_optimizers() -> Iterable[OptimizerEntry]:
    """Optimizers, chosen by name with ``model.optimizer``: any class of ``torch.optim.Optimizer``.

    ::

        @hookimpl
        def gancore_optimizers():
            return [OptimizerEntry("lion", "lion_pytorch:Lion", "sign of the momentum")]
    """


@hookspec
def gancore_games() -> Iterable[GameEntry]:
    """Subclasses of ``gancore.games.AdversarialGame``, chosen by name with ``model.game`` in any GAN recipe.

    ::

        @hookimpl
        def gancore_games():
            return [GameEntry("feature-matching", "my_games:FeatureMatching", "one more generator term")]
    """


@hookspec
def gancore_dynamics() -> Iterable[DynamicsEntry]:
    """Dynamics: the order and the rule of the updates in a step.

    ::

        @hookimpl
        def gancore_dynamics():
            return [DynamicsEntry("lookahead", "my_dynamics:Lookahead", "slow and fast weights")]
    """


@hookspec
def gancore_metrics() -> Iterable[MetricEntry]:
    """Metrics of samples; empty ``domains`` means every domain.

    ::

        @hookimpl
        def gancore_metrics():
            return [MetricEntry("range", "my_metrics:RANGE", "tidal range, metres", domains=("tides",))]
    """


@hookspec
def gancore_feature_extractors() -> Iterable[FeatureExtractorEntry]:
    """Feature extractors: fixed functions from samples to vectors, which metrics share.

    ::

        @hookimpl
        def gancore_feature_extractors():
            entry = FeatureExtractorEntry("harmonics", "my_features:Harmonics", "x", domains=("tides",))
            return [entry]
    """


@hookspec
def gancore_models() -> Iterable[PretrainedModelEntry]:
    """Trained models; ``target`` is an absolute path, or the URL of an archive whose ``sha256`` is given.

    ::

        @hookimpl
        def gancore_models():
            harbour = str(Path(__file__).parent / "harbour")
            return [PretrainedModelEntry("tides/harbour", harbour, "a gauge", "tides", licence="CC0-1.0")]

    ``return gancore.packaged_models(Path(__file__).parent / "models")`` registers all model folders in it.
    """


@hookspec
def gancore_loggers() -> Iterable[LoggerEntry]:
    """Loggers, which get the scalars and samples of a run.

    ::

        @hookimpl
        def gancore_loggers():
            return [LoggerEntry("ledger", "my_logger:Ledger", "appends to one file for all runs")]
    """


@hookspec
def gancore_experiments() -> Iterable[ExperimentEntry]:
    """Experiments of the lab.

    ::

        @hookimpl
        def gancore_experiments():
            return [ExperimentEntry("ebb", "my_lab:ebb", "does the generator learn the moon?")]
    """


@hookspec
def gancore_commands() -> Iterable[CommandEntry]:
    """Command groups; ``target`` names a ``typer.Typer``, imported when the command is called.

    ::

        @hookimpl
        def gancore_commands():
            return [CommandEntry("tides", "gancore_tides.commands:app", "look at gauges")]
    """


@hookspec
def gancore_train_start(run: RunFolder) -> None:
    """Called before the first step of a training or of a resumed training.

    ::

        @hookimpl
        def gancore_train_start(run):
            print("started", run.path)
    """


@hookspec
def gancore_step_logged(run: RunFolder, step: int, scalars: Mapping[str, float]) -> None:
    """Called after a step is logged. Not every step is logged: reading numbers from a device takes time.

    ``scalars`` are means since the last logged step.

    ::

        @hookimpl
        def gancore_step_logged(step, scalars):
            print(step, dict(scalars))
    """


@hookspec
def gancore_samples_written(run: RunFolder, step: int, paths: Sequence[Path]) -> None:
    """Called after a preview is written; ``paths`` are its files.

    ::

        @hookimpl
        def gancore_samples_written(paths):
            shutil.copy(paths[0], "newest")
    """


@hookspec
def gancore_checkpoint_saved(run: RunFolder, step: int, path: Path) -> None:
    """Called after a checkpoint is saved; ``path`` is its folder.

    ::

        @hookimpl
        def gancore_checkpoint_saved(path):
            subprocess.run(["rsync", "-a", str(path), "backup:"], check=True)
    """


@hookspec
def gancore_train_end(run: RunFolder, status: str, error: BaseException | None) -> None:
    """Called when a training ends, also if it was interrupted or failed.

    ::

        @hookimpl
        def gancore_train_end(run, status, error):
            notify(f"{run.path.name}: {status}" + (f" ({error})" if error else ""))
    """
