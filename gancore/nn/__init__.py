"""Networks and building blocks that several domains share."""

from gancore.nn.autoregressive import (
    SAMPLING_BATCH,
    Autoregressive,
    CausalTrunk,
    init_ordered_,
    sample_categorical,
)
from gancore.nn.buffers import resize_buffers
from gancore.nn.causal import CausalStack, CausalStepper, doubling_dilations, gated_activation
from gancore.nn.dropout import Dropout, without_dropout
from gancore.nn.ema import EMA
from gancore.nn.flows import (
    ActNorm,
    AffineCoupling,
    Bijection,
    Flow,
    InvertibleConv1x1,
    Logit,
    MaskedAffineCoupling,
    Split,
    Squeeze,
    chain_output_shape,
    forward_chain,
    half_coupling,
    initialize_chain,
    inverse_chain,
    steps_of_flow,
    zero_init,
)
from gancore.nn.piecewise_linear import avg_pool2d, leaky_relu
from gancore.nn.projection import label_projection, project_label
from gancore.nn.recurrent import Recurrent
from gancore.nn.relational_memory import RelationalMemory
from gancore.nn.sequences import SequenceGenerator, SteppingTrunk, until_end
from gancore.nn.spectral_normalization import SpectralNorm, spectral_norm, spectral_norm_layers
from gancore.nn.transformer import Transformer
from gancore.nn.vae import DecoderLikelihood, GaussianLikelihood, VariationalAutoencoder

__all__ = [
    "EMA",
    "SAMPLING_BATCH",
    "ActNorm",
    "AffineCoupling",
    "Autoregressive",
    "Bijection",
    "CausalStack",
    "CausalStepper",
    "CausalTrunk",
    "DecoderLikelihood",
    "Dropout",
    "Flow",
    "GaussianLikelihood",
    "InvertibleConv1x1",
    "Logit",
    "MaskedAffineCoupling",
    "Recurrent",
    "RelationalMemory",
    "SequenceGenerator",
    "SpectralNorm",
    "Split",
    "Squeeze",
    "SteppingTrunk",
    "Transformer",
    "VariationalAutoencoder",
    "avg_pool2d",
    "chain_output_shape",
    "doubling_dilations",
    "forward_chain",
    "gated_activation",
    "half_coupling",
    "init_ordered_",
    "initialize_chain",
    "inverse_chain",
    "label_projection",
    "leaky_relu",
    "project_label",
    "resize_buffers",
    "sample_categorical",
    "spectral_norm",
    "spectral_norm_layers",
    "steps_of_flow",
    "until_end",
    "without_dropout",
    "zero_init",
]
