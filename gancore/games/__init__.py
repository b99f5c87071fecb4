"""Games, players, costs and dynamics: what recipes are made of."""

from gancore.games.adversarial import AdversarialGame, GeneratorSampler, PenaltyMove, find_game
from gancore.games.adversarial_config import AdversarialConfig
from gancore.games.augmentation import (
    AdaptiveProbability,
    Augmentation,
    AugmentationMode,
    AugmentedDiscriminator,
    BatchTransform,
    make_augmentation,
)
from gancore.games.classifier import Classifier, ClassifierGame, TrainedClassifier, classifier_game
from gancore.games.cost import Cost, Term
from gancore.games.discrete import DiscreteGame
from gancore.games.discriminator import Discriminator, TokenDiscriminator
from gancore.games.draw import BatchSource, Draw, EncodedView
from gancore.games.dynamics import (
    DYNAMICS,
    Alternating,
    ConsensusOptimization,
    Dynamics,
    Extragradient,
    Optimistic,
    PastExtragradient,
    Simultaneous,
    SymplecticAdjustment,
    Unrolled,
    find_dynamics,
)
from gancore.games.estimators import DiscreteGenerator, Estimator, Pathwise, StraightThroughGumbel
from gancore.games.fitted import FittedGame, FittedModel, fitted_game
from gancore.games.flow import FlowGame, FlowGANGame, flow_gan
from gancore.games.game import Game, Move, Phase, Player, check_game
from gancore.games.gan import adversarial_game, adversarial_moves
from gancore.games.gradient import Gradient
from gancore.games.jacobian import compute_jacobian
from gancore.games.likelihood import LikelihoodGame, ModelSampler, likelihood_game
from gancore.games.losses import LOSSES, AdversarialLoss, find_loss
from gancore.games.optimizer_config import LikelihoodConfig, OptimizerConfig, with_defaults
from gancore.games.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    Optimizer,
    OptimizerState,
    RMSprop,
    find_optimizer,
)
from gancore.games.penalties import (
    PENALTIES,
    R1,
    R2,
    WGANGP,
    PenaltyTerm,
    find_penalty,
    gradient_squared_norm,
    interpolate,
)
from gancore.games.prior import Prior, normal, uniform
from gancore.games.reinforce import Baseline, Reinforce, Reward
from gancore.games.representation import CellBounds, Dequantization, HostStep, Identity, Representation
from gancore.games.sampler import CAPABILITIES, Capability, Sampler
from gancore.games.schedules import Schedule, cosine, exponential, linear, warmup
from gancore.games.torch_optimizer import TorchOptimizer
from gancore.games.training_setup import ScalarMeans, TrainingSetup
from gancore.games.training_step import TrainingStep, Turn
from gancore.random import noise

__all__ = [
    "CAPABILITIES",
    "DYNAMICS",
    "LOSSES",
    "OPTIMIZERS",
    "PENALTIES",
    "R1",
    "R2",
    "SGD",
    "WGANGP",
    "Adam",
    "AdamW",
    "AdaptiveProbability",
    "AdversarialConfig",
    "AdversarialGame",
    "AdversarialLoss",
    "Alternating",
    "Augmentation",
    "AugmentationMode",
    "AugmentedDiscriminator",
    "Baseline",
    "BatchSource",
    "BatchTransform",
    "Capability",
    "CellBounds",
    "Classifier",
    "ClassifierGame",
    "ConsensusOptimization",
    "Cost",
    "Dequantization",
    "DiscreteGame",
    "DiscreteGenerator",
    "Discriminator",
    "Draw",
    "Dynamics",
    "EncodedView",
    "Estimator",
    "Extragradient",
    "FittedGame",
    "FittedModel",
    "FlowGANGame",
    "FlowGame",
    "Game",
    "GeneratorSampler",
    "Gradient",
    "HostStep",
    "Identity",
    "LikelihoodConfig",
    "LikelihoodGame",
    "ModelSampler",
    "Move",
    "Optimistic",
    "Optimizer",
    "OptimizerConfig",
    "OptimizerState",
    "PastExtragradient",
    "Pathwise",
    "PenaltyMove",
    "PenaltyTerm",
    "Phase",
    "Player",
    "Prior",
    "RMSprop",
    "Reinforce",
    "Representation",
    "Reward",
    "Sampler",
    "ScalarMeans",
    "Schedule",
    "Simultaneous",
    "StraightThroughGumbel",
    "SymplecticAdjustment",
    "Term",
    "TokenDiscriminator",
    "TorchOptimizer",
    "TrainedClassifier",
    "TrainingSetup",
    "TrainingStep",
    "Turn",
    "Unrolled",
    "adversarial_game",
    "adversarial_moves",
    "check_game",
    "classifier_game",
    "compute_jacobian",
    "cosine",
    "exponential",
    "find_dynamics",
    "find_game",
    "find_loss",
    "find_optimizer",
    "find_penalty",
    "fitted_game",
    "flow_gan",
    "gradient_squared_norm",
    "interpolate",
    "likelihood_game",
    "linear",
    "make_augmentation",
    "noise",
    "normal",
    "uniform",
    "warmup",
    "with_defaults",
]
