"""What the documents tell people to type works, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from forks import Fork, import_all
from places import ROOT
from play import play

DOCUMENTS = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))]
ALSO = [
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    "examples/README.md",
    "benchmarks/RESULTS.md",
    *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/*/*.md")),
    *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("plugins/*/README.md")),
    *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("examples/*/README.md")),
]
MAX_WORDS = 1500
GENERATED = re.compile(r"^<!-- (\w+) -->$.*?^<!-- /\1 -->$", re.MULTILINE | re.DOTALL)
"""What a program writes into a page: it stands between two marks."""
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)?(#[^)]*)?\)")


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    import_all()


def played(document: Path, folder: Path) -> None:
    player = Fork(folder, lambda: play(document), log=folder / "played.txt")
    assert player.join(600) == 0, player.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS)
def test_its_commands_and_its_code_run(name, tmp_path):
    played(ROOT / name, tmp_path)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_page_is_short(name):
    words = GENERATED.sub("", (ROOT / name).read_text()).split()
    assert len(words) <= MAX_WORDS


def test_the_index_lists_every_page_once():
    index = ROOT / "docs/README.md"
    listed = [place for place, _ in LINK.findall(index.read_text()) if (index.parent / place).is_file()]
    pages = {path.relative_to(index.parent).as_posix() for path in index.parent.glob("**/*.md")}
    assert sorted(place for place in listed if place in pages) == sorted(pages - {"README.md"})


@pytest.mark.parametrize("name", [*DOCUMENTS, *ALSO])
def test_its_links_lead_somewhere(name):
    lost = []
    for place, anchor in LINK.findall((ROOT / name).read_text()):
        path = (ROOT / name).parent / place if place else ROOT / name
        if not place.startswith("http") and not (
            path.exists() and (not anchor or anchor[1:] in anchors(path))
        ):
            lost.append(place + anchor)
    assert lost == []


def anchors(path: Path) -> set[str]:
    """The headings of a document as links name them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}
