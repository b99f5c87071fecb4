"""What tests state of an error: its kind, what it names, the fix that it names; never its wording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def names(text: str, word: object) -> bool:
    """Whether ``word`` stands in ``text`` and is no part of a longer word or number."""
    return re.search(rf"(?<!\w){re.escape(str(word))}(?!\w)", text) is not None


@contextmanager
def refused(
    kind: type[BaseException], *named: object, fix: object = ""
) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """``kind`` is raised, its message names each of ``named``, and its fix names ``fix``.

    Names are keys, options, paths, values and single words, so that a message can be worded anew:
    ``refused(ConfigError, "model.width", 3, fix="--force")``.
    """
    assert not re.search(r"[a-z] [a-z]", " | ".join(map(str, (*named, fix)))), "give names, not sentences"
    with pytest.raises(kind) as caught:
        yield caught
    message = getattr(caught.value, "message", str(caught.value))
    lost = [word for word in named if not names(message, word)]
    assert lost == [], f"not named: {lost} in {message!r}"
    if fix:
        assert names(caught.value.fix, fix), f"no fix names {fix!r}: {caught.value.fix!r}"
