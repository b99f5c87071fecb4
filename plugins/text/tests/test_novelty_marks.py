"""What previews say of samples that repeat train, and of samples that lack variety."""

from __future__ import annotations

import json

import pytest
import torch
from gancore_text.config import TextConfig
from gancore_text.dataset import open_text
from gancore_text.diagnosis import NARROW, agreement, diagnose
from gancore_text.domain import TextDomain
from gancore_text.export import write_samples
from gancore_text.novelty import COPY, NEW
from gancore_text.representation import canonical, texts_of
from gancore_text.sources import SOURCES

import gancore
from gancore.data.dataset import Spec
from gancore.data.sources import resolve_source
from gancore.diagnostics import applicable_fixes
from gancore.random import Key
from gancore.samples import Samples


def test_agreement_by_hand():
    """Pairs: ab, bc | ab, bd | xy. Of 2 * (4 + 2 + 2) ordered pairs of pairs of two texts 2 agree."""
    assert agreement(["a b c", "a b d", "x y"]) == pytest.approx(2 / 16)
    assert agreement(["a b a b", "c"]) == 0 and agreement([]) == 0


def test_agreement_hardly_depends_on_the_number_of_texts():
    generator = torch.Generator().manual_seed(1)
    texts = [" ".join(map(str, row)) for row in torch.randint(0, 6, (600, 9), generator=generator).tolist()]
    assert agreement(texts[:100]) == pytest.approx(agreement(texts), rel=0.15)
    assert agreement(texts) == pytest.approx(1 / 36, rel=0.05)


def test_low_entropy_is_found_and_variety_is_not():
    varied = [f"w{n % 9} w{n % 7} w{n % 5} x{n} y{n}" for n in range(60)]
    usual = agreement(varied)
    assert [d.name for d in diagnose(varied[:20], 80, usual)] == []
    narrow = [f"w{n % 3} and so it goes on and on" for n in range(20)]
    (found,) = [d for d in diagnose(narrow, 80, usual) if d.name == "narrow"]
    assert "nats" in found.message and agreement(narrow) > NARROW * usual
    assert "entropy bonus (model.entropy_bonus)" in applicable_fixes(found.fix, {"entropy_bonus", "lr"})
    assert "entropy" not in applicable_fixes(found.fix, {"lr"})
    for few in (diagnose(narrow[:15], 80, usual), diagnose(narrow, 80)):
        assert "narrow" not in [d.name for d in few]


TEXTS = [
    f"the {a} {b} sat on the {c} mat by day {n}"
    for n, (a, b, c) in enumerate(zip("abcdefghij" * 3, "klmno" * 6, "pqrstu" * 5, strict=True))
]


def test_samples_are_compared_with_train(tmp_path):
    (tmp_path / "t.txt").write_text("\n".join(TEXTS))
    source = resolve_source(str(tmp_path / "t.txt"), SOURCES, None, lambda line: None)
    data = open_text(source, TextConfig(source=str(tmp_path / "t.txt")))
    view = data.view("train")
    (known,) = texts_of(view.get_batch(torch.tensor([0]), Key.of(1)).data)
    assert data.spec["agreement"] > 0
    made = Samples(canonical([known, f"{known} and more", "a new text"], 90), data.spec)
    remarks = TextDomain().remarks(made, view)
    assert remarks[0] == COPY and remarks[1].startswith("long span") and remarks[2] == NEW


def test_remarks_are_written_and_shown(tmp_path):
    rows = canonical(["one", "two"], 20)
    made = Samples(rows, Spec({}), remarks=[COPY, NEW])
    assert TextDomain().text_lines(made) == [f"[{COPY}] one", f"[{NEW}] two"]
    lines = write_samples(made, tmp_path)[1].read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": "one", "novelty": COPY},
        {"text": "two", "novelty": NEW},
    ]
    assert (tmp_path / "samples.txt").read_text() == "one\ntwo\n"


def test_previews_of_a_training_have_remarks(tmp_path):
    (tmp_path / "t.txt").write_text("\n".join(TEXTS))
    run = tmp_path / "run"
    gancore.train(domain="text", data=str(tmp_path / "t.txt"), recipe="ngram", out=run, progress="none")
    (lines,) = run.glob("samples/*/samples.jsonl")
    assert all("novelty" in json.loads(line) for line in lines.read_text().splitlines())
