"""Weights in half precision: how far they are rounded, and what stays as it is."""

import pytest
import torch

from gancore.models.tensors import to_half_precision

GENERATOR = torch.Generator().manual_seed(0)
NORMAL = torch.randn(10_000, generator=GENERATOR)


@pytest.mark.parametrize(("dtype", "bound", "floor"), [("float16", 2**-11, 2**-25), ("bfloat16", 2**-8, 0)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1000.0])
def test_a_weight_is_rounded_by_at_most_half_a_unit_of_the_last_place(dtype, bound, floor, scale):
    weights = NORMAL * scale
    rounded = to_half_precision({"w": weights}, ["w"], dtype)["w"]
    assert rounded.dtype == getattr(torch, dtype)
    assert bool(((rounded.float() - weights).abs() <= weights.abs() * bound + floor).all())


def test_what_is_no_parameter_or_does_not_fit_stays():
    tensors = {
        "counts": torch.tensor([70_001.0, 2049.0]),
        "steps": torch.tensor(7),
        "large": torch.tensor([1e5, 1.0]),
        "tokens": torch.tensor([3]),
    }
    rounded = to_half_precision(tensors, ["large", "tokens"])
    assert all(rounded[name] is tensors[name] for name in tensors)
    assert to_half_precision(tensors, ["large"], "bfloat16")["large"].dtype == torch.bfloat16
