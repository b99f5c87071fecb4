"""The pages of the site that stand elsewhere in the repository, and the links that lead to them.

Used by ``mkdocs build`` (mkdocs.yml). A link of a page to a file outside docs works on GitHub as it is; the
site holds a page of that file under ``repository/``, found from the links alone, and the link leads there.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from gancore.plugins.surface import SURFACE

log = logging.getLogger("mkdocs.hooks.gancore")
ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(\]\(|(?:src|href)=\")(?!https?:|mailto:|data:|#)([^)#\s\"]+)")
"""What begins a link, and its place without an anchor."""
HOME = {"README.md": "index.md", "docs/README.md": "pages.md"}
"""Files of the repository whose page has another name."""
ALWAYS = {"CONTRIBUTING.md", "CHANGELOG.md"}
"""Pages in the navigation, whether or not another page leads to them."""
LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".yaml": "yaml", ".json": "json"}


def links_of(path: Path) -> Iterator[str]:
    """Places in the repository that a Markdown file names, if they exist."""
    for _, place in LINK.findall(path.read_text()):
        target = Path(os.path.normpath(path.parent / place))
        if target.is_relative_to(ROOT) and target.exists():
            yield target.relative_to(ROOT).as_posix()


def page_of(place: str) -> str:
    """The page or asset of the site that shows a file of the repository."""
    if place in HOME:
        return HOME[place]
    if place.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", place.removeprefix("docs/"))
    path = ROOT / place
    return f"repository/{place}{'.md' if is_shown(path) else ''}"


def is_shown(path: Path) -> bool:
    """Whether a page shows the file or folder as code. Others are pages (Markdown) or left as they are."""
    return path.is_dir() or path.suffix in ("", *LANGUAGES)


def place_of(page: str) -> str:
    """The file of the repository that a page of the site shows."""
    for place, name in HOME.items():
        if page == name:
            return place
    if page.startswith("repository/"):
        place = page.removeprefix("repository/")
        return place if (ROOT / place).exists() else place.removesuffix(".md")
    return f"docs/{page}"


def show_notebook(path: Path) -> str:
    """The cells of a notebook, and what they showed when it was run."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [show_output(output) for output in cell.get("outputs", [])]
    return "\n\n".join(parts)


def show_output(output: dict[str, Any]) -> str:
    """What a cell printed, drew or returned: HTML before a picture before text."""
    found = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
    if "text/html" in found:
        return f'<div class="output">{" ".join(found["text/html"].split())}</div>'
    if "image/png" in found:
        return (
            f'<div class="output"><img alt="" src="data:image/png;base64,{found["image/png"].strip()}"></div>'
        )
    return f"```text\n{''.join(output.get('text', found.get('text/plain', ''))).rstrip()}\n```"


def outside(pages: list[Path]) -> set[str]:
    """Files and folders outside docs that pages lead to, and those that these lead to."""
    found = set(ALWAYS)
    waiting = [*pages, *(ROOT / place for place in ALWAYS)]
    while waiting:
        for place in links_of(waiting.pop()):
            if place in found or place.startswith("docs/") or place in (".", "docs", *HOME):
                continue
            found.add(place)
            if place.endswith(".md"):
                waiting.append(ROOT / place)
    return found


def show(path: Path) -> str:
    """A file or a folder of files as Markdown."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in (".md", *LANGUAGES))
        return "\n\n".join([f"# {path.relative_to(ROOT)}", *(code(file) for file in files)])
    return path.read_text() if path.suffix == ".md" else f"# {path.name}\n\n{code(path)}"


def code(path: Path) -> str:
    """A file as a block of code with its name."""
    language = LANGUAGES.get(path.suffix, "text")
    name = path.relative_to(ROOT).as_posix()
    return f"`{name}`\n\n````{language}\n{path.read_text().rstrip()}\n````"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand elsewhere."""
    index = files.get_file_from_path("README.md")
    if index is not None:
        files.remove(index)
    for place, name in HOME.items():
        files.append(File.generated(config, name, content=(ROOT / place).read_text()))
    for place in sorted(outside([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])):
        path = ROOT / place
        content = show(path) if is_shown(path) or path.suffix == ".md" else path.read_bytes()
        files.append(File.generated(config, page_of(place), content=content))
    for path in sorted(ROOT.glob("docs/**/*.ipynb")):
        name = path.relative_to(ROOT / "docs").as_posix()
        copied = files.get_file_from_path(name)
        if copied is not None:
            files.remove(copied)
        page = page_of(f"docs/{name}")
        files.append(File.generated(config, page, content=show_notebook(path)))
    style = Path(__file__).with_name("site.css").read_text()
    files.append(File.generated(config, "site.css", content=style))
    for module in SURFACE:
        content = f"# {module}\n\n::: {module}\n"
        files.append(File.generated(config, f"api/{module}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    name = page.file.src_uri
    folder = (ROOT / place_of(name)).parent

    def rewrite(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found[2]))
        if not target.is_relative_to(ROOT) or not target.exists():
            return found[0]
        to = page_of(target.relative_to(ROOT).as_posix())
        return found[1] + os.path.relpath(to, os.path.dirname(name) or ".")

    return LINK.sub(rewrite, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Warn, and so fail a strict build, if a public name is missing: it has no docstring."""
    if page.file.src_uri.startswith("api/"):
        module = page.title if isinstance(page.title, str) else ""
        lost = [name for name in import_module(module).__all__ if f'id="{module}.{name}"' not in html]
        if lost:
            log.warning("%s: no docstring: %s", module, ", ".join(lost))
