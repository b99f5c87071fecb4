"""What ``import gancore`` offers."""

from __future__ import annotations

import pytest
from refusals import refused

import gancore
from gancore import entries, hookspecs
from gancore.plugins.plugin import ENTRY_HOOKS, OBSERVER_HOOKS


@pytest.mark.parametrize("name", gancore.__all__)
def test_every_public_name_is_there(name):
    assert getattr(gancore, name) is not None
    assert name in dir(gancore)


def test_an_unknown_name_is_an_attribute_error():
    with refused(AttributeError, "trian"):
        gancore.trian  # noqa: B018


def test_every_hook_is_specified_and_explained():
    specified = {name for name in vars(hookspecs) if name.startswith("gancore_")}
    assert specified == ENTRY_HOOKS.keys() | OBSERVER_HOOKS
    for name in specified:
        assert "@hookimpl" in getattr(hookspecs, name).__doc__, name


def test_every_kind_of_record_can_be_registered():
    kinds = {
        kind for kind in vars(entries).values() if isinstance(kind, type) and issubclass(kind, entries.Entry)
    }
    assert kinds - {entries.Entry} == set(ENTRY_HOOKS.values())
