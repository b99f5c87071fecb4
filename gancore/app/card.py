"""The model card as the page shows it: its sections, as text that loads nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from gancore.errors import GancoreError
from gancore.models.card_text import read_card


def card_of(place: Path) -> str:
    """The card of a model folder; empty if there is none that can be read."""
    try:
        return read_card(place)
    except GancoreError:
        return ""


def without_front_matter(card: str) -> str:
    return re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)


def front_matter(card: str) -> dict[str, Any]:
    """The YAML of a card; {} if it has none."""
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    try:
        content = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def card_section(card: str, heading: str) -> str:
    """The text under a heading of the second level; empty if there is none."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", card, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def plain_markdown(markdown: str) -> str:
    """Markdown without pictures and HTML, which a card from elsewhere could load from anywhere."""
    pictureless = re.sub(r"!\[[^\]]*\](\([^)]*\)|\[[^\]]*\])?", "", markdown)
    lines = (
        line if line.startswith("    ") else line.replace("<", "&lt;") for line in pictureless.split("\n")
    )
    return "\n".join(lines)
