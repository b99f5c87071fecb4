"""A sequence generator is one distribution: whole, step by step, and in its samples."""

import itertools

import pytest
import torch
from refusals import refused
from torch import nn

from gancore.errors import ConfigError
from gancore.nn import (
    CausalStack,
    Recurrent,
    RelationalMemory,
    SequenceGenerator,
    Transformer,
    without_dropout,
)
from gancore.random import Key, RowRange

TRUNKS = {
    "lstm": lambda condition: Recurrent(4, 6, cell="lstm", condition=condition),
    "gru": lambda condition: Recurrent(4, 6, 2, condition=condition),
    "transformer": lambda condition: Transformer(4, 9, layers=2, heads=2, condition=condition),
    "memory": lambda condition: RelationalMemory(4, slots=2, heads=2, head_size=3, condition=condition),
    "causal": lambda condition: CausalStack(4, 6, [1, 2, 4], condition),
}


def generator(trunk="lstm", vocab=3, length=3, end=None, latent=0, classes=0, seed=0, **settings):
    torch.manual_seed(seed)
    condition = nn.Embedding(classes, 2) if classes else None
    made = TRUNKS[trunk](latent + (2 if classes else 0))
    model = SequenceGenerator(made, vocab, length, end, latent, condition, **settings)
    for parameter in model.parameters():  # away from the uniform distribution
        parameter.data.add_(0.5 * torch.randn_like(parameter))
    return model


def stepped_logits(model, tokens, condition=None, latents=None):
    state, before, logits = model.initial(len(tokens), condition, latents), None, []
    for t in range(tokens.shape[1]):
        now, state = model.step(state, before)
        logits.append(now)
        before = tokens[:, t]
    return torch.stack(logits, 1)


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize(("latent", "classes"), [(0, 0), (5, 0), (5, 3)])
def test_step_by_step_it_gives_the_logits_of_the_whole_pass(trunk, latent, classes, float64):
    model = generator(trunk, vocab=7, length=9, latent=latent, classes=classes)
    tokens = torch.randint(7, (4, 9))
    latents = torch.randn(4, latent) if latent else None
    condition = torch.tensor([0, 1, 2, 1]) if classes else None
    whole = model.logits(tokens, condition, latents)
    torch.testing.assert_close(
        stepped_logits(model, tokens, condition, latents), whole, rtol=1e-12, atol=1e-12
    )
    if latent:  # and the latents matter
        assert not torch.allclose(whole, model.logits(tokens, condition, latents + 1))


@pytest.mark.parametrize("trunk", TRUNKS)
def test_gradients_step_by_step_are_those_of_the_whole_pass(trunk, float64):
    model = generator(trunk, vocab=5, length=6)
    tokens = torch.randint(5, (3, 6))
    parameters = list(model.parameters())
    whole = torch.autograd.grad(model.logits(tokens).square().sum(), parameters, allow_unused=True)
    walked = torch.autograd.grad(stepped_logits(model, tokens).square().sum(), parameters, allow_unused=True)
    for one, other in zip(whole, walked, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_step_leaves_the_state_it_was_given(trunk):
    """So that several continuations can start from one."""
    model = generator(trunk)
    state = model.initial(2)
    kept = [part.clone() for part in state]
    model.step(state, torch.tensor([0, 1]))
    assert all(map(torch.equal, state, kept))
    assert all(len(part) == 2 for part in state)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_an_embedding_of_ids_is_that_of_their_one_hot_rows(trunk, float64):
    model = generator(trunk, vocab=5)
    tokens = torch.tensor([[0, 4], [2, 2]])
    one_hot = nn.functional.one_hot(tokens, 5).double()
    torch.testing.assert_close(model.embed(one_hot), model.embed(tokens))


@pytest.mark.parametrize("end", [None, 0])
@pytest.mark.parametrize("trunk", TRUNKS)
def test_probabilities_of_all_sequences_sum_to_one(trunk, end, float64):
    model = generator(trunk, end=end)
    tokens = torch.tensor(list(itertools.product(range(3), repeat=3)))
    if end is not None:
        tokens = torch.where(model.mask(tokens), tokens, end).unique(dim=0)
        assert len(tokens) == 1 + 2 + 2 * 2 * 3
    assert model.log_prob(tokens).exp().sum().item() == pytest.approx(1, abs=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(model.log_prob(tokens), model.log_probs(tokens).sum(1))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("end", [None, 0])
@pytest.mark.parametrize("trunk", ["lstm", "transformer"])
def test_samples_have_the_frequencies_of_the_exact_probabilities(trunk, end, temperature):
    """All sequences of 3 tokens of 3: no frequency of 40,000 is beyond 4.5 standard errors."""
    model, n = generator(trunk, end=end), 40_000
    tokens = torch.tensor(list(itertools.product(range(3), repeat=3)))
    if end is not None:
        tokens = torch.where(model.mask(tokens), tokens, end).unique(dim=0)
    logits = model.logits(tokens).detach().double() / temperature
    log_probs = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    exact = torch.where(model.mask(tokens), log_probs, 0.0).sum(1).exp()
    drawn = model.sample(n, Key.of("frequencies"), temperature=temperature)
    weights = torch.tensor([9, 3, 1])
    counts = torch.bincount((drawn * weights).sum(1), minlength=27)[(tokens * weights).sum(1)]
    assert int(counts.sum()) == n
    error = (counts / n - exact) / (exact * (1 - exact) / n).sqrt()
    assert float(error.abs().max()) < 4.5


def test_a_sample_is_a_function_of_its_row_of_the_key():
    model = generator(length=5, end=0, latent=2)
    key = Key.of("rows")
    whole = model.sample(8, key.with_rows(RowRange(0, 8, 16)))
    part = model.sample(3, key.with_rows(RowRange(2, 5, 16)))
    assert torch.equal(whole[2:5], part)


def test_after_the_first_end_there_is_nothing_but_ends(float64):
    model = generator(vocab=4, length=8, end=0)
    drawn = model.sample(200, Key.of("ends"))
    after = ~model.mask(drawn)
    assert bool(after.any()) and not bool(drawn[after].any())
    longer = torch.cat([drawn, torch.full((200, 4), 2)], 1)
    ended = (drawn == 0).any(1)
    assert bool(model.log_prob(drawn).isfinite().all())
    assert bool(
        (model.log_prob(torch.cat([drawn, drawn[:, :1]], 1))[ended & (drawn[:, 0] != 0)] < -1e9).all()
    )
    assert torch.equal(model.log_probs(longer)[ended, 8:], torch.zeros(int(ended.sum()), 4).double())


def test_a_mask_reads_simplex_rows_by_their_largest_entry():
    model = generator(end=0)
    tokens = torch.tensor([[1, 0, 2], [2, 1, 1]])
    soft = 0.8 * nn.functional.one_hot(tokens, 3).float() + 0.2 / 3
    wanted = [[True, True, False], [True, True, True]]
    assert model.mask(soft).tolist() == model.mask(tokens).tolist() == wanted


def test_latents_that_are_missing_or_not_used_are_refused():
    tokens = torch.zeros(2, 3, dtype=torch.int64)
    with refused(ConfigError, "latent=2", fix="latent=0"):
        generator(latent=2).log_prob(tokens)
    with refused(ConfigError, "latent=0"):
        generator().log_prob(tokens, None, torch.zeros(2, 2))


@pytest.mark.parametrize("trunk", ["lstm", "transformer"])
def test_without_dropout_training_mode_is_evaluation(trunk, float64):
    torch.manual_seed(0)
    layers = Transformer(4, 9, heads=2, dropout=0.5) if trunk == "transformer" else Recurrent(4, 6)
    model, tokens = SequenceGenerator(layers, 3, 3, dropout=0.5), torch.zeros(2, 3, dtype=torch.int64)
    evaluated = model.eval().log_prob(tokens)
    model.train()
    assert not torch.equal(model.log_prob(tokens), evaluated)
    with without_dropout(model):
        assert torch.equal(model.log_prob(tokens), evaluated)
    assert model.dropout.training


def test_heads_divide_the_width_of_a_transformer_and_its_length_is_a_limit():
    with refused(ConfigError, "heads"):
        Transformer(6, 3, heads=4)
    with pytest.raises(ValueError, match="length=3"):
        Transformer(4, 3)(torch.zeros(1, 4, 4))


def test_an_output_of_a_transformer_depends_on_inputs_up_to_it(float64):
    torch.manual_seed(0)
    model = Transformer(4, 9, layers=2, heads=2, condition=3)
    x, told = torch.randn(1, 9, 4, requires_grad=True), torch.randn(1, 3, requires_grad=True)
    grad, of_condition = torch.autograd.grad(model(x, told)[0, 5, 0], (x, told))
    assert (grad[0].abs().sum(1) > 0).tolist() == [True] * 6 + [False] * 3
    assert (of_condition != 0).all()


def test_a_transformer_layer_is_that_of_the_library_s_attention(float64):
    """One layer by the library's attention: the same function."""
    torch.manual_seed(0)
    model = Transformer(4, 5, layers=1, heads=2)
    x = torch.randn(3, 5, 4)
    layer = model.layers[0]
    h = torch.cat([model.first.expand(3, 1, -1), x], 1) + model.positions
    q, k, v = layer.projections(layer.attention_norm(h)).view(3, 6, 3, 2, 2).permute(2, 0, 3, 1, 4)
    attended = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    h = h + layer.output(attended.transpose(1, 2).reshape(3, 6, 4))
    h = h + layer.dense(layer.dense_norm(h))
    torch.testing.assert_close(model(x), model.norm(h)[:, 1:], rtol=1e-12, atol=1e-12)
