"""List every line of code, templates and documents that a regular expression of words.txt matches.

Run by ``make lint``. It prints ``file:line: word; better: ...`` and exits with 1 if there is a match. A line
with ``words: ok`` in a comment is allowed. docs/comparisons and benchmarks are not checked.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKED = re.compile(
    r"(gancore|plugins/\w+/gancore_\w+)/.*\.(py|html|template)|(docs|plugins/\w+|examples)/[\w-]+\.md|README\.md|CHANGELOG\.md"
)
FIRST_CHANGES = "## 0.1.0"
"""Older sections of the changelog stay as they were written."""


def read_words(path: Path) -> list[tuple[re.Pattern[str], str]]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    pairs = [line.partition(" # ") for line in lines]
    return [(re.compile(pattern, re.IGNORECASE), better) for pattern, _, better in pairs]


def find_words(text: str, words: list[tuple[re.Pattern[str], str]]) -> list[tuple[int, str, str]]:
    """Line number, matched text and what to write instead."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(FIRST_CHANGES):
            break
        if "words: ok" not in line:
            found += [
                (number, match[0], better) for pattern, better in words for match in pattern.finditer(line)
            ]
    return found


def main() -> int:
    words = read_words(Path(__file__).with_name("words.txt"))
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [
        name for name in listed.stdout.splitlines() if CHECKED.fullmatch(name) and (ROOT / name).is_file()
    ]
    names = [
        name for name in names if not sys.argv[1:] or any(name.startswith(path) for path in sys.argv[1:])
    ]
    found = [(name, *hit) for name in names for hit in find_words((ROOT / name).read_text(), words)]
    for name, number, word, better in found:
        print(f"{name}:{number}: {word!r}; better: {better}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
