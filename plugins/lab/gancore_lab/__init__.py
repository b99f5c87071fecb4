"""The lab of gancore: experiments with a prediction and a measurement."""

from gancore import CommandEntry, DynamicsEntry, ExperimentEntry, hookimpl
from gancore_lab.experiment import Check, Experiment, ExperimentResult

__all__ = [
    "Check",
    "Experiment",
    "ExperimentResult",
    "gancore_commands",
    "gancore_dynamics",
    "gancore_experiments",
]

EXPERIMENTS = {
    "dirac": "rates of the dynamics on the smallest GAN",
    "bilinear": "rates of the dynamics on min max xy",
    "lgq": "when the principal components are a stable equilibrium",
    "vanishing-gradient": "the generator's gradient with a discriminator that wins",
    "spectrum": "eigenvalues of the game's Jacobian, with and without a remedy",
    "oscillation": "the same game with and without averaging",
    "staleness": "players with old parameters of each other",
    "measures": "metrics of samples on distributions with known answers",
}


@hookimpl
def gancore_experiments() -> list[ExperimentEntry]:
    return [
        ExperimentEntry(name, f"gancore_lab.{name.replace('-', '_')}:EXPERIMENT", summary)
        for name, summary in EXPERIMENTS.items()
    ]


@hookimpl
def gancore_commands() -> list[CommandEntry]:
    return [CommandEntry("lab", "gancore_lab.cli:app", "experiments with a prediction and a verdict")]


@hookimpl
def gancore_dynamics() -> list[DynamicsEntry]:
    return [DynamicsEntry("stale", "gancore_lab.stale:Stale", "players get old parameters of each other")]
