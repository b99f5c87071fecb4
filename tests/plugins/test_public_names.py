"""What ``import gancore`` offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gancore
from gancore import hookspecs, records
from gancore.plugins.checks import REGISTRATIONS
from gancore.plugins.plugin import OBSERVERS


@pytest.mark.parametrize("name", gancore.__all__)
def test_every_public_name_is_there(name):
    assert getattr(gancore, name) is not None
    assert name in dir(gancore)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        gancore.trian  # noqa: B018


@pytest.mark.parametrize(
    "order",
    [
        "from gancore import train, models; from gancore.train.run import RunFolder",
        "import gancore.train.run, gancore.models; from gancore import train, models",
    ],
)
def test_a_verb_can_be_called_though_a_sub_package_has_its_name(order):
    program = f"""
import types, sys
sys.modules["gancore.api"] = types.SimpleNamespace(train=lambda n: n + 1, models=lambda: "listed")
{order}
import gancore.train.run
assert train(2) == gancore.train(2) == 3
assert models() == "listed"
assert gancore.train.run.RunFolder
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_hook_is_specified_and_explained():
    specified = {name for name in vars(hookspecs) if name.startswith("gancore_")}
    assert specified == REGISTRATIONS.keys() | OBSERVERS
    for name in specified:
        assert "@hookimpl" in getattr(hookspecs, name).__doc__, name


def test_every_kind_of_record_can_be_registered():
    kinds = {
        kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, records.Entry)
    }
    assert kinds - {records.Entry} == set(REGISTRATIONS.values())
