"""What is wrong in bf16 is found before the first step, on any machine, and computed in fp32."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn
from toy_games import DenseDiscriminator, points

from gancore.games import Cost, Discriminator, Game, Move, Phase, Player, adversarial_game, normal
from gancore.games.training_step import TrainingStep
from gancore.random import Key
from gancore.runtime import device
from gancore.runtime.device import is_bf16_fast
from gancore.runtime.kernel_cache import KernelCache
from gancore.training.loop import prepare_game
from gancore.training.precision import (
    KernelCall,
    check_call,
    check_precision,
    fewer_rows,
    operation_call,
    random_bf16,
    random_strided,
    record_calls,
)
from gancore.training.setup import set_up, state_tensors

CPU = torch.device("cpu")
BF16 = torch.bfloat16


def in_bf16() -> bool:
    return torch.is_autocast_enabled("cpu")


class Garbage(torch.autograd.Function):
    """The identity, whose gradient is what it likes."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return torch.full_like(gradient, 7.0)


class Sound(nn.Linear):
    pass


class WrongValues(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return torch.full_like(y, 3.0) + 0 * y if in_bf16() else y


class WrongGradients(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return Garbage.apply(y) if in_bf16() else y


class NeverTheSame(nn.Linear):
    calls = itertools.count()

    def forward(self, x):
        y = super().forward(x)
        return y * (1 + 0.01 * (next(self.calls) % 2)) if in_bf16() else y


class NotANumber(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y * float("nan") if in_bf16() else y


class Planted(Discriminator):
    """A judge whose middle layer is of this kind."""

    def __init__(self, kind, width=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, width), nn.Softplus(), kind(width, width), nn.Softplus(), nn.Linear(width, 1)
        )

    def logits(self, embedded, condition=None):
        return self.layers(embedded).squeeze(-1)


def setup(kind=Sound, judge=None, **options):
    torch.manual_seed(0)
    game = adversarial_game(
        generator=lambda: nn.Sequential(nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, 2)),
        discriminator=judge or (lambda: Planted(kind)),
        prior=normal(3),
    )
    laid = set_up(game, points(), batch_size=16, bf16=True, **options)
    prepare_game(laid)
    return laid


def gradients(laid):
    training_step = TrainingStep(laid, laid.game.phases[0], 0, 0, 0.0)
    return [
        t
        for i, move in training_step.due_moves()
        for t in training_step.gradient(move, training_step.draw(i)).tensors
    ]


def near(one, other, tolerance=0.05):
    return all(float((a - b).norm()) <= tolerance * float(b.norm()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", [WrongValues, WrongGradients, NeverTheSame, NotANumber])
def test_a_layer_that_is_wrong_in_bf16_is_found_named_and_computed_in_fp32(kind):
    laid = setup(kind)
    right = gradients(replace(laid, bf16=False))
    if kind is not NeverTheSame:
        assert not near(gradients(laid), right)
    check = check_precision(laid)
    assert check.modules == ["discriminator.layers.2"]
    assert "discriminator.layers.2" in str(check)
    assert near(gradients(laid), right)
    assert all(torch.equal(a, b) for a, b in zip(gradients(laid), gradients(laid), strict=True))
    assert check_precision(laid).modules == []


def test_where_all_is_right_nothing_is_computed_in_fp32():
    laid = setup()
    check = check_precision(laid)
    assert (check.modules, check.calls) == ([], 6)  # five linear layers, and Sound, which is no part of torch
    assert not any("forward" in vars(module) for module in laid.game.modules())


def test_the_check_leaves_the_game_and_the_random_numbers_as_they_are():
    def judge():
        judge = DenseDiscriminator()
        judge.layers.insert(1, nn.BatchNorm1d(8))
        return judge

    laid = setup(judge=judge)
    before = [tensor.clone() for tensor in state_tensors(laid)]
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    check_precision(laid)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(before, state_tensors(laid), strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in laid.game.modules())


class Slope(Game):
    """Its cost multiplies by itself, outside of any module."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 1, bias=False)
        self.players = {"net": Player(["net"])}
        self.phases = [Phase([Move("net")])]

    def cost(self, move, draw):
        return Cost().add("loss", (draw.real().data @ self.net.weight.T).square().mean(1))


def test_an_operation_that_only_the_cost_calls_takes_the_whole_game_out_of_bf16():
    laid = set_up(Slope(), points(), batch_size=16, bf16=True)
    (call,) = record_calls(laid)
    assert (call.module, call.name.split()[0]) == ("", "mm")
    known = KernelCache()
    known[call.key] = (9.0, False)
    assert check_precision(laid, known).modules == [""]


def test_an_operation_of_a_module_that_has_others_within_takes_that_module_out_of_bf16():
    class Multiplied(DenseDiscriminator):
        def logits(self, embedded, condition=None):
            return super().logits(embedded) + (embedded @ embedded.T).sum(1)

    laid = setup(judge=Multiplied)
    known = KernelCache()
    (call,) = [call for call in record_calls(laid) if call.module == "discriminator"]
    known[call.key] = (9.0, False)
    assert check_precision(laid, known).modules == ["discriminator"]


def test_operations_are_recorded_at_the_shapes_of_a_micro_batch():
    firsts = [
        call for call in record_calls(setup(micro_batches=2)) if call.module == "discriminator.layers.0"
    ]
    assert [call.inputs()[1].shape for call in firsts] == [(8, 2)]


def convolution(x, w):
    """As a game would call it, in bf16."""
    rest = (None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1)
    return operation_call("net", torch.ops.aten.convolution.default, (x.to(BF16), w.to(BF16), *rest), {})


def test_an_operation_is_right_or_wrong_by_its_values_its_gradients_and_its_repetitions():
    call = convolution(torch.ones(4, 3, 8, 8), torch.ones(5, 3, 3, 3))
    assert check_call(call, KernelCache()) is None
    count = itertools.count()
    wrong = {
        "values": lambda *x: call.in_bf16(*x) + 1,
        "a gradient": lambda *x: Garbage.apply(call.in_bf16(*x)),
        "not a number": lambda *x: call.in_bf16(*x) * float("nan"),
        "another at each call": lambda *x: call.in_bf16(*x) * (1 + 0.01 * (next(count) % 2)),
    }
    for fast in wrong.values():
        assert check_call(replace(call, in_bf16=fast), KernelCache()) is not None


def test_garbage_in_one_corner_of_a_large_result_is_seen():
    call = convolution(torch.ones(4, 3, 8, 8), torch.ones(5, 3, 3, 3))

    def corner(*x):
        y = call.in_bf16(*x)
        return torch.cat([y.flatten()[:-1], y.flatten()[-1:] + 30]).view_as(y)

    assert check_call(replace(call, in_bf16=corner), KernelCache()).module == "net"


def test_large_operations_are_checked_with_fewer_rows_and_small_ones_with_all():
    small = [((32, 3, 8, 8), (192, 64, 8, 1), BF16), ((5, 3, 3, 3), (27, 9, 3, 1), BF16)]
    assert fewer_rows("convolution", small) == small
    large = [((64, 512, 64, 64), (1, 1, 1, 1), BF16), ((512, 512, 3, 3), (1, 1, 1, 1), BF16)]
    assert fewer_rows("convolution", large)[0][0] == (2, 512, 64, 64)
    assert fewer_rows("bmm", large) == large


def test_tensors_are_laid_out_as_those_of_the_game_and_exact_in_bf16():
    like = torch.ones(4, 6, 5).permute(2, 0, 1)
    made = random_strided(Key.of("x"), tuple(like.shape), like.stride())
    assert made.stride() == like.stride()
    broad = random_strided(Key.of("x"), (4, 6), (0, 1))
    assert torch.equal(broad[0], broad[3])
    assert torch.equal(made.bfloat16().float(), made)
    assert random_bf16(Key.of("x"), 3, 5).std() > 0.3


class TestWhatIsKnownOfAMachine:
    def call(self):
        return convolution(torch.ones(2, 1, 4, 4), torch.ones(1, 1, 3, 3))

    def test_is_not_checked_again(self, tmp_path):
        check_precision(setup(), known := KernelCache(tmp_path))
        assert list(tmp_path.iterdir())
        known[self.call().key] = (9.0, False)
        known.save()
        again = KernelCache(tmp_path)
        assert check_call(self.call(), again).error == 9.0
        assert check_call(self.call(), KernelCache()) is None

    def test_is_of_that_machine_alone(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
        known = KernelCache(tmp_path)
        known[self.call().key] = (9.0, False)
        known.save()
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
        assert self.call().key not in KernelCache(tmp_path)

    @pytest.mark.parametrize(
        "content", ["", "[]", "{}", '{"format": 1, "calls": {"a": 3}}', "\x00", "[" * 9999]
    )
    def test_is_ignored_where_it_is_broken(self, tmp_path, content):
        KernelCache(tmp_path).save()
        known = KernelCache(tmp_path)
        known["a"] = (0.1, False)
        known.save()
        (file,) = tmp_path.iterdir()
        file.write_text(content)
        assert "a" not in KernelCache(tmp_path)

    def test_costs_nothing_where_the_folder_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        known = KernelCache(tmp_path / "file")
        known["a"] = (0.1, False)
        known.save()
        assert "a" in known


def test_auto_is_fp32_where_onednn_may_not_use_its_instructions_for_bf16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    for limit, fast in (("AVX2", False), ("avx512_core", False), ("AVX512_CORE_BF16", True), ("", True)):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        assert is_bf16_fast(CPU) is fast


@pytest.mark.parametrize(("maker", "fast"), [("GenuineIntel", False), ("AuthenticAMD", True), ("", False)])
def test_auto_is_bf16_on_a_processor_without_amx_only_of_makers_where_that_is_faster(
    maker, fast, monkeypatch
):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(device, "processor_vendor", lambda: maker)
    assert is_bf16_fast(CPU) is fast


@pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("amx_bf16"),
    reason="no AMX: the fault is not here",
)
def test_the_convolution_of_stride_2_that_is_one_column_wide_is_found_where_it_is_wrong():
    call = convolution(torch.ones(8, 64, 16, 2), torch.ones(128, 64, 3, 3))
    assert isinstance(call, KernelCall)
    assert check_call(call, KernelCache()) is not None
