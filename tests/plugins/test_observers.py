"""Observers are told what training did; one that raises is told on, dropped, and training goes on."""

from __future__ import annotations

import pytest
from refusals import refused

from gancore import PluginError, hookimpl


class Ledger:
    def __init__(self) -> None:
        self.seen: list[object] = []

    @hookimpl
    def gancore_step_logged(self, step, scalars):  # leaves out `run`
        self.seen.append((step, scalars["loss"]))


REEF = """
    from gancore import hookimpl

    calls = []

    @hookimpl
    def gancore_step_logged(step):
        calls.append(step)
        {deed}

    @hookimpl
    def gancore_train_end(status):
        calls.append(status)
    """


def step(plugins, number: int) -> None:
    plugins.call_observers("gancore_step_logged", run=None, step=number, scalars={"loss": 0.5})


@pytest.mark.parametrize("deed", ["raise OSError('disk full')", "raise SystemExit"])
def test_a_raising_observer_is_told_once_and_dropped(site, capsys, deed):
    site.install("gancore-reef", {"reef": REEF.format(deed=deed)})
    plugins, ledger = site.plugins(), Ledger()
    plugins.register(ledger, "ledger")
    plugins.load_all()
    for number in range(3):
        step(plugins, number)
    plugins.call_observers("gancore_train_end", run=None, status="finished", error=None)
    import reef  # type: ignore[import-not-found]

    assert reef.calls == [0, "finished"], "only the observer that raised is dropped"
    assert ledger.seen == [(0, 0.5), (1, 0.5), (2, 0.5)]
    output = capsys.readouterr().err.splitlines()
    assert len(output) == 1
    for word in ["(gancore-reef 1.2)", "in gancore_step_logged", "reef.py:9", "--upgrade gancore-reef"]:
        assert word in output[0]


def test_strict_raises_what_an_observer_raised(site):
    site.install("gancore-reef", {"reef": REEF.format(deed="raise OSError('disk full')")})
    plugins = site.plugins(strict=True)
    plugins.load_all()
    with refused(PluginError, "gancore-reef", "disk") as caught:
        step(plugins, 0)
    assert isinstance(caught.value.__cause__, OSError)


def test_ctrl_c_in_an_observer_passes_through(site):
    site.install("gancore-reef", {"reef": REEF.format(deed="raise KeyboardInterrupt")})
    plugins = site.plugins()
    plugins.load_all()
    with pytest.raises(KeyboardInterrupt):
        step(plugins, 0)


def test_a_plugin_that_is_not_loaded_observes_nothing(site):
    site.install("gancore-reef", {"reef": REEF.format(deed="raise OSError('disk full')")})
    step(site.plugins(strict=True), 0)


def test_the_listing_names_what_a_plugin_observes(site):
    site.install("gancore-reef", {"reef": REEF.format(deed="pass")})
    plugins = site.plugins()
    plugins.load_all()
    (reef,) = plugins.list_plugins()
    assert reef.observes == ("gancore_step_logged", "gancore_train_end")


def test_an_event_that_no_hook_knows_is_a_mistake_of_the_caller(site):
    with refused(ValueError, "gancore_step_ends", "gancore_step_logged"):
        site.plugins().call_observers("gancore_step_ends")
