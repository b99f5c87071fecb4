"""One configuration and seed gives one model, whatever the caller has set and whoever trains beside it."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from gancore.runtime.torch_settings import SETTINGS, one_training_at_a_time, pinned_settings, torch_seed

PRODUCTS = ("highest", *["none"] * 5)
PINNED = [torch.float32, PRODUCTS, (False, False), False, False]


def state() -> list:
    return [setting.read() for setting in SETTINGS]


@pytest.fixture
def changed():
    """A caller that has changed all that can be."""
    before = state()
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    yield state()
    for setting, value in zip(SETTINGS, before, strict=True):
        setting.write(value)


def test_settings_are_pinned_and_come_back(changed):
    with pinned_settings():
        assert state() == PINNED
        with pinned_settings():
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.float32
    assert state() == changed


def test_they_come_back_after_an_error_too(changed):
    with pytest.raises(ZeroDivisionError), pinned_settings():
        raise ZeroDivisionError
    assert state() == changed


def test_the_last_of_several_threads_restores_them(changed):
    inside, leave = threading.Event(), threading.Event()

    def other():
        with pinned_settings():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with pinned_settings():
        thread.start()
        assert inside.wait(60)
    assert torch.get_default_dtype() == torch.float32
    leave.set()
    thread.join()
    assert state() == changed


def test_no_autocast_no_inference_mode_and_no_other_device_reaches_inside():
    x = torch.ones(2, 2)
    with torch.autocast("cpu"), torch.inference_mode(), torch.device("meta"), pinned_settings():
        assert (x @ x).dtype == torch.float32
        assert torch.zeros(1).device.type == "cpu"
        assert not torch.is_inference_mode_enabled()
    with torch.no_grad(), one_training_at_a_time(print):
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "change",
    [
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
        lambda: setattr(torch.backends.mkldnn.conv, "fp32_precision", "tf32"),
        lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    ],
    ids=["older", "newer", "convolutions", "all"],
)
def test_inexact_products_by_either_interface_of_torch(change):
    fresh = state()
    try:
        change()
        requested = state()
        assert requested != fresh
        with pinned_settings():
            assert state() == PINNED
            torch.ones(2, 2) @ torch.ones(2, 2)
        assert state() == requested
    finally:
        torch.backends.fp32_precision = "none"
        torch.set_float32_matmul_precision("highest")
        for setting, value in zip(SETTINGS, fresh, strict=True):
            setting.set(value)
    assert state() == fresh


def test_what_is_set_within_ends_within():
    before = state()
    with pinned_settings():
        torch.use_deterministic_algorithms(True)
    assert state() == before


def test_networks_built_in_threads_are_those_built_one_after_another():
    def build(seed: int) -> torch.Tensor:
        with torch_seed(seed):
            nets = [nn.Linear(8, 8) for _ in range(20)]
        return torch.cat([net.weight.detach().flatten() for net in nets])

    alone = [build(seed) for seed in range(4)]
    together: dict[int, torch.Tensor] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: together.update({seed: build(seed)})) for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(alone[seed], together[seed]) for seed in range(4))


def test_trainings_of_threads_take_turns_and_say_so():
    said, at_work, most = [], [], []

    def train():
        with one_training_at_a_time(said.append):
            at_work.append(1)
            most.append(len(at_work))
            torch.ones(64, 64) @ torch.ones(64, 64)
            at_work.pop()

    with one_training_at_a_time(said.append):
        threads = [threading.Thread(target=train) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(said) < 3:
            pass
        assert most == []
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]
    assert all("one model at a time" in line for line in said)


def test_a_training_within_a_training_of_the_same_thread_goes_on():
    with one_training_at_a_time(print), one_training_at_a_time(print):
        pass
