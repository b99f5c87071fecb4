"""The application takes every command that a document shows, also those that no test runs."""

from __future__ import annotations

import re

import pytest
from command_check import keys, mistake_in
from places import ROOT
from quoted_commands import QuotedCommand, quoted_commands
from test_documents import ALSO, DOCUMENTS

KEY = re.compile(r"`((?:data|model|train|logging|validation|checkpoint)(?:\.[a-z]\w*)+)(?:=[^`]*)?`")
FILE = (".json", ".py", ".safetensors")
MADE = re.compile(r"gancore plugins new ([a-z]+)|Entry\(\s*\"([\w-]+)\"")
"""Plugins and their entries, in commands and in code."""
OWN_DATA = ("recordings", "pictures", "shards")
"""Folders that the reader of a document has."""
MISTAKES = {
    "gancore trian --domain audio": "trian",
    "gancore models pakc runs/first --out first": "pakc",
    "gancore lab dirak": "dirak",
    "gancore lab dirac --set raet=0.1": "raet",
    "gancore synthetic feild RUN": "feild",
    "gancore train --domain audio --epochs 3": "--epochs",
    "gancore sweep ... --stroage /shared/sweep &": "--stroage",
    "CUDA_VISIBLE_DEVICES=0 gancore generate runs/first -m 16": "-m",
    "torchrun --nnodes 2 -m gancore train --domain audio --rseume auto": "--rseume",
    'ssh -n $host "cd /shared && nohup gancore sweep ... --no-wiat > log 2>&1 &"': "--no-wiat",
    "args: [gancore, sweep, ..., --storrage, /shared/sweep]": "--storrage",
    "gancore generate runs/first -n four": "-n",
    "gancore evaluate runs/first -n 8": "-n",
    "gancore export runs/first": "--out",
    "gancore cache": "Usage",
    "gancore generate runs/first runs/second": "runs/second",
    "gancore train --domain vidoe": "vidoe",
    "gancore train --domain image --data fashion_minst": "fashion_minst",
    "gancore train --domain text --recipe lstm": "lstm",
    "gancore recipes mlpgam": "mlpgam",
    "gancore generate audio/percusion -n 4": "audio/percusion",
    "gancore evaluate runs/text --metrics bleu_4,self_blue_4": "self_blue_4",
    "gancore train --domain audio --set model.widht=16": "model.widht",
    "gancore train --domain audio --time soon": "soon",
    "gancore compare --domain graph --recipes netgan,sell": "sell",
    "gancore compare --domain graph --recipes cell --set dell:model.overlap=0.5": "dell",
    "gancore compare --domain graph --recipes cell --set cell:model.overlop=0.5": "overlop",
    "gancore sweep --domain synthetic --storage s --steps 9 --search 'model.widht=int(8,64)'": "model.widht",
}
"""Commands with a mistake, and what the message must name."""


@pytest.fixture(scope="module")
def foreign() -> set[str]:
    """What is not installed here: of the examples, and of plugins that documents make."""
    paths = [*(ROOT / name for name in (*DOCUMENTS, *ALSO)), *ROOT.glob("examples/*/**/*.py")]
    return {name for path in paths for names in MADE.findall(path.read_text()) for name in names if name}


@pytest.mark.parametrize("name", [*DOCUMENTS, *ALSO])
def test_the_application_takes_the_commands_of_a_document(name, foreign):
    found = quoted_commands((ROOT / name).read_text(), name)
    told = {str(command): mistake_in(command, foreign, OWN_DATA) for command in found}
    assert {command: mistake for command, mistake in told.items() if mistake} == {}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_keys_that_a_document_names_exist(name):
    """Those of free settings, such as ``train.dynamics.settings.gamma``, belong to what they are for."""
    named = {key for key in KEY.findall((ROOT / name).read_text()) if not key.endswith(FILE)}
    assert {key for key in named - keys() if key.split(".settings.")[0] == key} == set()


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_found(line):
    (command,) = quoted_commands(f"Do\n\n```text\n{line}\n```\n", "a.md")
    assert command.place == "a.md:4"
    assert MISTAKES[line] in mistake_in(command)


def test_commands_are_found_wherever_they_stand():
    text = """
Run `gancore evaluate`, or `gancore evaluate
RUN --metrics`. Not `import gancore` or "gancore train".

```console
$ gancore train --domain audio \\
    --steps 5 > log
the command's output: no model; next: gancore generate runs/first
gancore compare --domain <domain>; gancore runs
```
"""
    found = {command.place: command for command in quoted_commands(text, "a.md")}
    assert [place for place in found] == ["a.md:6", "a.md:9", "a.md:2"]
    assert found["a.md:6"].words == ("train", "--domain", "audio", "--steps", "5")
    assert list(quoted_commands("```python\ngancore train --no\n```", "a.md")) == []


@pytest.mark.parametrize(
    "words", ["evaluate", "evaluate --metrics", "evaluate RUN -n N", "COMMAND --help", "--version"]
)
def test_a_mention_may_leave_words_out(words):
    assert mistake_in(QuotedCommand("a.md:1", tuple(words.split()), is_mention=True)) == ""
