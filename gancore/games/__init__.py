"""Games, players, costs and dynamics: what recipes are made of."""

from gancore.games.adversarial import AdversarialGame, GeneratorSampler, adversarial
from gancore.games.augmentation import Adaptive, Augmentation, Augmented, augmentation
from gancore.games.classifier import Classifier, ClassifierGame, Judge, classifier
from gancore.games.cost import Cost
from gancore.games.dequantised import Cells, Dequantised
from gancore.games.discriminator import Discriminator, TokenDiscriminator
from gancore.games.draw import Draw
from gancore.games.dynamics import (
    Alternating,
    Consensus,
    Dynamics,
    Extragradient,
    Optimistic,
    PastExtragradient,
    Simultaneous,
    SymplecticAdjustment,
    Unrolled,
)
from gancore.games.field import Field
from gancore.games.field_jacobian import jacobian
from gancore.games.fitted import FittedModel, fitted
from gancore.games.flow import FlowGame, FlowGANGame, FlowSampler, flow_gan
from gancore.games.game import Game, Move, Phase, Player
from gancore.games.gradient import Gradient
from gancore.games.likelihood import LikelihoodGame, LikelihoodSampler, likelihood
from gancore.games.losses import LOSSES, AdversarialLoss
from gancore.games.penalties import R1, R2, WGANGP, Penalty
from gancore.games.prior import Prior, normal, uniform
from gancore.games.representation import Identity, Representation
from gancore.games.rules import SGD, Adam, AdamW, RMSProp, Rule
from gancore.games.schedules import Schedule, cosine, exponential, linear, warmup
from gancore.games.section import AdversarialSection, defaults
from gancore.runtime.randomness import noise

__all__ = [
    "LOSSES",
    "R1",
    "R2",
    "SGD",
    "WGANGP",
    "Adam",
    "AdamW",
    "Adaptive",
    "AdversarialGame",
    "AdversarialLoss",
    "AdversarialSection",
    "Alternating",
    "Augmentation",
    "Augmented",
    "Cells",
    "Classifier",
    "ClassifierGame",
    "Consensus",
    "Cost",
    "Dequantised",
    "Discriminator",
    "Draw",
    "Dynamics",
    "Extragradient",
    "Field",
    "FittedModel",
    "FlowGANGame",
    "FlowGame",
    "FlowSampler",
    "Game",
    "GeneratorSampler",
    "Gradient",
    "Identity",
    "Judge",
    "LikelihoodGame",
    "LikelihoodSampler",
    "Move",
    "Optimistic",
    "PastExtragradient",
    "Penalty",
    "Phase",
    "Player",
    "Prior",
    "RMSProp",
    "Representation",
    "Rule",
    "Schedule",
    "Simultaneous",
    "SymplecticAdjustment",
    "TokenDiscriminator",
    "Unrolled",
    "adversarial",
    "augmentation",
    "classifier",
    "cosine",
    "defaults",
    "exponential",
    "fitted",
    "flow_gan",
    "jacobian",
    "likelihood",
    "linear",
    "noise",
    "normal",
    "uniform",
    "warmup",
]
