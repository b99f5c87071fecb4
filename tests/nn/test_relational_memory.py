"""The relational memory against its formulas, number by number, and against torch's attention."""

import torch
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from gancore.nn import RelationalMemory


def test_a_step_is_the_formula(float64):
    torch.manual_seed(0)
    model = RelationalMemory(3, slots=2, heads=2, head_size=4)
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    memory, x = torch.randn(5, 2, 8), torch.randn(5, 3)
    projected = model.input(x)[:, None]
    rows = torch.cat([memory, projected], 1)
    weight = model.projections_norm.weight
    normed = layer_norm(rows @ model.projections.weight.T, (24,), weight)
    queries, keys, values = (
        part.view(5, 3, 2, 4).transpose(1, 2)
        for part in (normed[..., :8], normed[..., 8:16], normed[..., 16:])
    )
    attended = scaled_dot_product_attention(queries, keys, values).transpose(1, 2).reshape(5, 3, 8)[:, :2]
    first = model.attention_norm(memory + attended)
    second = model.dense_norm(first + model.dense(first))
    gates = model.input_gates(projected) + model.memory_gates(memory.tanh())
    write, keep = gates[..., :8].sigmoid(), gates[..., 8:].sigmoid()
    output, (after,) = model.step((memory,), x)
    torch.testing.assert_close(after, write * second.tanh() + keep * memory)
    assert torch.equal(output, after.flatten(1)) and output.shape == (5, model.out_features)


def test_at_first_the_slots_differ_and_little_is_forgotten():
    model = RelationalMemory(3, slots=3, heads=1, head_size=4)
    (memory,) = model.initial(2)
    assert torch.equal(memory[0], torch.eye(3, 4)) and memory.shape == (2, 3, 4)
    _, keep = model.input_gates(torch.zeros(4)).sigmoid().chunk(2)
    assert torch.allclose(keep, torch.tensor(1.0).sigmoid())


def test_every_parameter_has_a_gradient(float64):
    torch.manual_seed(0)
    model = RelationalMemory(3, slots=2, heads=2, head_size=4)
    model(torch.randn(4, 6, 3)).square().sum().backward()
    assert min(float(parameter.grad.abs().max()) for parameter in model.parameters()) > 1e-9
