"""Marks of Sphinx in docstrings, as Markdown: an extension of griffe, which reads the docstrings."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?([^`]+)`")
LITERAL = re.compile(r"^([ \t]*)::[ \t]*$|::[ \t]*$", re.MULTILINE)
"""What begins an indented block of code."""


class Marks(Extension):
    """``:class:`X``` becomes code, and ``::`` before a block of code becomes a colon."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            text = ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = LITERAL.sub(lambda found: "" if found[1] is not None else ":", text)
