"""Step by step a recurrent network is the same function as over the whole sequence."""

import pytest
import torch

from gancore.nn.recurrent import Recurrent


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("condition", [0, 4])
@pytest.mark.parametrize("layers", [1, 3])
def test_step_by_step_it_is_the_same_to_rounding(cell, condition, layers, float64):
    torch.manual_seed(0)
    model = Recurrent(3, 5, layers, cell, condition)
    if not condition:
        torch.nn.init.normal_(model.first)
    result = torch.randn(7, condition) if condition else None
    x = torch.randn(7, 20, 3)
    step = model.stepper(7, result)
    walked = torch.stack([step(x[:, t]) for t in range(20)], 1)
    torch.testing.assert_close(walked, model(x, result), rtol=1e-12, atol=1e-12)
    assert walked.shape == (7, 20, 5) and not walked.requires_grad


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_an_output_hangs_on_inputs_up_to_it_and_on_the_first_state(cell, float64):
    torch.manual_seed(0)
    model = Recurrent(3, 5, 2, cell, condition=4)
    x, result = torch.randn(1, 9, 3, requires_grad=True), torch.randn(1, 4, requires_grad=True)
    grad, of_condition = torch.autograd.grad(model(x, result)[0, 5].sum(), (x, result))
    assert (grad[0].abs().sum(1) > 0).tolist() == [True] * 6 + [False] * 3
    assert (of_condition != 0).all()


def test_an_update_leaves_the_state_it_was_given(float64):
    """So that several continuations can start from one."""
    model = Recurrent(2, 3, cell="lstm")
    state = model.initial(4)
    kept = [part.clone() for part in state]
    x = torch.randn(4, 2)
    first, after = model.step(state, x)
    again, _ = model.step(state, x)
    assert all(map(torch.equal, state, kept)) and torch.equal(first, again)
    assert len(after) == 2 and after[0].shape == (4, 1, 3)


def test_steps_carry_gradients_where_they_are_asked_for():
    model = Recurrent(2, 3)
    state = model.initial(4)
    outputs, state = model.step(state, torch.randn(4, 2))
    outputs, state = model.step(state, outputs[:, :2])
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
