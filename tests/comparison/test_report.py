"""The page as text: self-contained, small, escaped, and there whatever is finished."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image
from recorded import Recorded, reading

import gancore
from gancore.comparison import charts, report
from gancore.comparison.charts import Axis, Line, Row, interval_chart, line_chart, marker
from gancore.comparison.folder import read_json
from gancore.comparison.gallery import read_galleries
from gancore.comparison.report import seconds_at_step, validation_curves
from gancore.data.dataset import Spec
from gancore.domain import Domain
from gancore.gallery import fit
from gancore.media import read_file
from gancore.plugins import plugins
from gancore.samples import Samples

VOID = {"meta", "link", "img", "br", "hr", "input", "source"}
FETCHING = {"src", "href", "data", "poster", "srcset", "action", "xlink:href", "background"}


class Parsed(HTMLParser):
    """Every tag and attribute; tags that are opened are closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def values(self, *names: str) -> list[str]:
        return [value or "" for _, attrs in self.tags for name, value in attrs.items() if name in names]


class Words(Domain):
    """Text, a drawing, bytes, and nothing to preview."""

    name = "synthetic"

    def write(self, samples, folder):
        texts = {
            "samples.txt": "one <b>&\n" * 500,
            "1.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "2.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "graph.graphml": "<graphml/>",
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
        (folder / "samples.bin").write_bytes(bytes(range(256)))
        return [folder / name for name in [*texts, "samples.bin"]]


class Sentences(Words):
    """Each sample as text; what it draws is not asked for."""

    def texts(self, samples):
        return [
            "<b>bold</b> & co",
            "two\nlines \x1b[31m \u202e",
            "",
            "x" * 9000,
            *["same"] * (len(samples) - 4),
        ]

    def preview(self, samples):
        raise AssertionError("texts are shown as text")


def record(folder: Path, domain: Domain | None = None, seeds: int = 1) -> Recorded:
    domain = domain or plugins().load_domain("synthetic")
    return Recorded.of(folder, domain, {"a": "mlpgan", "b": "realnvp"}, seeds=seeds)


def points(n: int = 20) -> Samples:
    knobs = {"components": 8, "radius": 1.0, "std": 0.01, "imbalance": 1.0}
    spec = Spec({"source": "ring", "seed": 0, "shape": [2], "parameters": knobs})
    return Samples(torch.randn(n, 2, generator=torch.Generator().manual_seed(0)), spec)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """All finished, two seeds."""
    made = record(tmp_path_factory.mktemp("done"), seeds=2)
    made.about(points(), select="density_error")
    for trial in made.trials:
        value = 0.3 if trial.name == "a" else 0.6
        made.training(trial, curve=[1.0, value])
        extra = reading("nll", None, anchors={}, method="")
        made.evaluation(trial, [reading("made_up", (value, value - 0.05, value + 0.05)), extra])
        made.samples(trial, points())
        made.tradeoffs(trial)
    return made.folder, made.report()


def test_nothing_on_the_page_is_fetched(done):
    text = done[0].report_html.read_text()
    parsed = Parsed(text)
    for value in parsed.values(*FETCHING):
        assert value.startswith(("data:", "#")), value[:80]
    assert not re.search(r"@import|url\((?!data:)", text)
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert not [name for _, attrs in parsed.tags for name in attrs if name.startswith("on")]
    policy = next(attrs for tag, attrs in parsed.tags if attrs.get("http-equiv"))
    assert policy["content"].startswith("default-src 'none'")


def test_it_is_accessible_by_its_structure(done):
    parsed = Parsed(done[0].report_html.read_text())
    tags = [tag for tag, _ in parsed.tags]
    assert tags.count("h1") == 1 and tags.count("main") == 1
    assert next(attrs for tag, attrs in parsed.tags if tag == "html") == {"lang": "en"}
    assert all(attrs.get("alt") for tag, attrs in parsed.tags if tag == "img")
    assert all(attrs.get("scope") for tag, attrs in parsed.tags if tag == "th")
    charts = [attrs for tag, attrs in parsed.tags if tag == "svg" and attrs.get("role") == "img"]
    assert charts and all(attrs["aria-label"] for attrs in charts)
    names = parsed.values("id")
    assert len(names) == len(set(names))
    assert {value[1:] for value in parsed.values("href") if value.startswith("#")} <= set(names)
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_all_figures_of_the_tables_stand_in_report_json(done):
    folder, report = done
    assert read_json(folder.report_json) == report
    (made_up, nll) = report["metrics"]
    assert made_up["recipes"]["a"]["seeds"]["1"] | {"seconds": 0.0, "details": {}} == {
        "value": 0.3,
        "low": 0.25,
        "high": 0.35,
        "matched": 0.3,
        "anchors": {"real": 0.1, "noise": 1.0, "collapse": 0.9},
        "trust": "yes",
        "skipped": "",
        "seconds": 0.0,
        "details": {},
    }
    assert report["summary"][0] == "By made_up a is better than b."
    assert nll["recipes"]["a"]["seeds"]["0"]["skipped"] == "this model has no likelihood"
    assert report["tradeoffs"]["a"]["quality"] == pytest.approx(0.7 / 0.9)
    assert report["headline"] == "made_up"


def test_report_json_is_json_as_others_read_it(done):
    """NaN and infinity, which JSON has not, are named."""
    json.loads(done[0].report_json.read_text(), parse_constant=lambda name: pytest.fail(name))


def test_what_names_look_like_markup_is_shown_as_it_is(done):
    text = done[0].report_html.read_text()
    assert "rows: &lt;made&gt; &amp; up" in text


def test_what_nobody_could_take_is_named_with_the_reason_and_takes_no_row(done):
    text = done[0].report_html.read_text()
    assert "Not computed (this model has no likelihood): nll." in text
    assert '<th scope="row">nll' not in text


@pytest.mark.parametrize("stage", range(6))
def test_it_is_there_however_far_the_comparison_is(tmp_path, stage):
    """Nothing; data; trainings; samples; one of two evaluated; all."""
    made = record(tmp_path)
    steps = [
        lambda: made.about(points()),
        lambda: [made.training(trial, curve=[1.0, 0.5]) for trial in made.trials],
        lambda: [made.samples(trial, points()) for trial in made.trials],
        lambda: made.evaluation(made.trials[0], [reading("m", (0.2, 0.1, 0.3))]),
        lambda: [made.tradeoffs(trial) for trial in made.trials],
    ]
    for step in steps[:stage]:
        step()
    report = made.report()
    Parsed(made.folder.report_html.read_text())
    assert report["verdict"][0]["text"].startswith("No verdict")


def test_a_training_that_was_killed_is_shown_as_such(tmp_path):
    made = record(tmp_path)
    made.about(points())
    made.training(made.trials[0])
    run = made.folder.run_folder(made.trials[0])
    status = json.loads(run.status_file.read_text()) | {"status": "running", "step": 5}
    run.status_file.write_text(json.dumps(status))
    report = made.report()
    assert [one["state"] for one in report["runs"]] == ["interrupted", "not begun"]


def test_files_are_shown_by_their_media_type(tmp_path):
    made = record(tmp_path, Words())
    made.about(points())
    made.report()
    text = made.folder.report_html.read_text()
    assert text.count('<img src="data:image/svg+xml;base64,') == 2
    assert "one &lt;b&gt;&amp;" in text and text.count("one &lt;b&gt;&amp;") == 60
    assert "samples.txt, its beginning" in text
    assert "&lt;graphml/&gt;" in text
    assert "Also in the folder: samples.bin." in text
    Parsed(text)


def test_text_in_another_encoding_is_not_quoted(tmp_path):
    (tmp_path / "a.txt").write_bytes("Größe".encode("latin-1"))
    (tmp_path / "b.txt").write_text("Größe " * 5000)
    assert read_file(tmp_path / "a.txt").kind == "other"
    assert read_file(tmp_path / "b.txt").text.startswith("Größe")


@pytest.mark.parametrize("way", ["absolute", "upwards", "link", "linked folder", "pipe", "large", "device"])
def test_a_foreign_index_leads_to_no_file_outside(tmp_path, way):
    """Whoever makes the page of a stranger's comparison gives away none of their own files."""
    secret = tmp_path / "private" / "key.txt"
    secret.parent.mkdir()
    secret.write_text("MY-PRIVATE-KEY")
    made = record(tmp_path / "foreign", Noise())
    made.about(points(2))
    folder = made.folder.samples("real")
    (folder / "link.txt").symlink_to(secret)
    (folder / "linked").symlink_to(secret.parent)
    os.mkfifo(folder / "pipe.txt")
    with (folder / "large.png").open("wb") as large:
        large.truncate(1 << 30)
    name = {
        "absolute": str(secret),
        "upwards": "../../../private/key.txt",
        "link": "link.txt",
        "linked folder": "linked/key.txt",
        "pipe": "pipe.txt",
        "large": "large.png",
        "device": "/dev/zero",
    }[way]
    index = read_json(folder / "index.json")
    outside = {"folder": "../../private", "files": [name, *index["files"]], "preview": name}
    (folder / "index.json").write_text(json.dumps(index | outside))
    made.report()
    page = made.folder.report_html.read_text()
    assert "MY-PRIVATE-KEY" not in page and "<img" in page
    assert name in page, "it is named, not embedded"


@pytest.mark.parametrize("change", [{"files": 3}, {"files": [3]}, {"count": "x"}, {"preview": []}])
def test_an_index_of_other_types_shows_nothing(tmp_path, change):
    made = record(tmp_path, Noise())
    made.about(points(2))
    file = made.folder.samples("real") / "index.json"
    file.write_text(json.dumps(read_json(file) | change))
    assert made.report()["samples"] == {}


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_link_in_place_of_json_is_no_json(tmp_path, make):
    make(tmp_path / "environment.json")
    assert read_json(tmp_path / "environment.json") == {}


class Noise(Domain):
    """Numbered pictures that no compression makes smaller: 0.5 MB each."""

    name = "synthetic"

    def write(self, samples, folder):
        files = []
        for number in range(1, len(samples) + 1):
            levels = torch.randint(256, (400, 420, 3), dtype=torch.uint8)
            files.append(folder / f"{number:02d}.png")
            Image.fromarray(levels.numpy()).save(files[-1])
        return files


@pytest.mark.slow
def test_what_has_no_room_is_left_out_of_each_alike(tmp_path):
    """16 pictures of 0.67 MB in each of three: 32 MB; the page stays under 10."""
    made = record(tmp_path, Noise())
    made.about(points(16))
    for trial in made.trials:
        made.training(trial)
        made.samples(trial, points(16))
    report = made.report()
    assert made.folder.report_html.stat().st_size < 10e6
    counts = [
        len(part.split("<img")) - 1 for part in made.folder.report_html.read_text().split("<article")[1:]
    ]
    assert len(set(counts)) == 1 and 2 <= counts[0] <= 5
    assert report["samples"]["a"]["count"] == 16


def test_as_many_as_fit_are_shown(tmp_path):
    made = record(tmp_path, Noise())
    made.about(points(3))
    index = read_json(tmp_path / "samples/real/index.json")
    found = read_galleries(tmp_path / "samples", {"real": index | {"folder": "real"}})
    weight = found[0].size
    assert [list(fit(found, limit)[0].by_sample) for limit in (weight, weight - 1, 0)] == [
        [1, 2, 3],
        [1, 2],
        [],
    ]


def test_the_report_alone_is_written_again_from_the_folder(done, capsys):
    folder, report = done
    before = folder.report_html.read_bytes()
    folder.report_html.unlink()
    from gancore.cli import main

    assert main(["compare", "--report-only", str(folder.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == report["verdict"]
    assert folder.report_html.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--report-only", "nowhere"], "holds no comparison"),
        (["--resume", "nowhere"], "holds no comparison"),
        (["--report-only", "x", "--time", "1m"], "--time cannot be combined with --report-only"),
        (["--domain", "synthetic"], "no budget is given"),
        (["--time", "1m"], "no domain is given"),
    ],
)
def test_on_the_command_line_a_mistake_is_one_line(words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    from gancore.cli import main

    assert main(["compare", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and expected in line


def test_seconds_at_a_step_lie_on_the_line_between_those_that_were_logged():
    clock = [(10, 1.0), (20, 3.0)]
    assert [seconds_at_step(clock, step) for step in (0, 5, 10, 15, 20, 25)] == [0, 0.5, 1, 2, 3, 3]


def test_curves_are_read_by_measure_and_what_is_not_finite_is_left_out():
    lines = [
        {"step": 10, "seconds": 2.0, "loss": 1.0},
        {"step": 10, "valid/m": 0.5, "valid/k": None, "nonfinite": ["valid/k"]},
        {"step": 20, "seconds": 4.0},
        {"step": 20, "valid/m": 0.25},
    ]
    curves = validation_curves(lines, samples_per_step=8)
    assert curves == {
        "m": [
            {"step": 10, "samples": 80, "value": 0.5, "seconds": 2.0},
            {"step": 20, "samples": 160, "value": 0.25, "seconds": 4.0},
        ]
    }


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.2, 17.0), (1e-9, 3e-9), (5.0, 5.0), (1e3, 1e6)])
def test_ticks_are_round_and_within(low, high):
    axis = Axis.spanning([low, high], 0, 100, can_be_logarithmic=True)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 7
    assert all(axis.low <= tick <= axis.high for tick in ticks)
    places = [axis.position(tick) for tick in ticks]
    assert places == sorted(places) and places[0] >= 0 and places[-1] <= 100


def test_an_axis_of_values_far_apart_is_logarithmic_unless_one_is_not_positive():
    assert Axis.spanning([0.01, 1], 0, 1, True).logarithmic
    assert not Axis.spanning([0.0, 1], 0, 1, True).logarithmic
    assert not Axis.spanning([0.5, 1], 0, 1, True).logarithmic
    assert Axis.spanning([0.01, 1], 0, 100, True).position(0.1) == pytest.approx(50)


@pytest.mark.parametrize(
    ("seconds", "unit", "last"), [(90, "seconds", 90), (450, "minutes", 7.5), (36_000, "hours", 10)]
)
def test_a_curve_ends_where_its_axis_says_that_it_was_long(seconds, unit, last):
    points = [{"seconds": share * seconds, "value": 1.0} for share in (0.5, 1.0)]
    chart = report.learning_curve(
        [{"trial": "a-seed0", "name": "a", "curves": {"m": points}}], "m", "seconds", {"a": 0}
    )
    assert f">{unit} of training<" in chart
    level = charts.HEIGHT - charts.BOTTOM + 16
    ticks = re.findall(rf'x="([0-9.]+)" y="{level:.1f}">([0-9.]+)<', chart)
    (x0, low), (x1, high) = [(float(place), float(value)) for place, value in (ticks[0], ticks[-1])]
    end = max(map(float, re.findall(r'cx="([0-9.]+)"', chart)))
    assert low + (end - x0) * (high - low) / (x1 - x0) == pytest.approx(last, rel=0.01)


def test_charts_of_nothing_are_empty():
    assert line_chart([], "x", "y") == ""
    assert interval_chart([], {}, "m") == ""
    assert line_chart([Line("<a>", 0, [(1.0, 2.0)])], "x", "y").count("&lt;a&gt;") == 1


def test_an_anchor_that_is_far_off_does_not_push_the_models_into_a_corner():
    rows = [Row("a", 0, [(1.0, 0.9, 1.1)]), Row("b", 1, [(2.0, 1.9, 2.1)])]
    chart = interval_chart(rows, {"real": 0.5, "noise": 5000.0}, "m")
    assert ">real<" in chart and ">noise<" not in chart


def test_recipes_are_told_apart_without_colours():
    assert len({marker(index, 10, 10) for index in range(5)}) == 5


def test_configurations_are_those_of_the_first_seed(tmp_path):
    """Whichever it is: seed 0 need not be among them."""
    made = record(tmp_path, seeds=[7, 9])
    made.about(points())
    made.report()
    text = made.folder.report_html.read_text()
    part = text.split("<h3>Configurations</h3>")[1].split("<p class")[0]
    assert re.findall("<summary>(.*?)</summary>", part) == ["a", "b"]
    assert part.count("seed: 7") == 2 and "seed: 9" not in part


def test_the_page_says_what_a_budget_in_seconds_covers(tmp_path):
    """Wall time: evaluations count, as in ``train.time``; the axis of the curves is training alone."""
    made = record(tmp_path)
    made.about(points(), select="density_error")
    for trial in made.trials:
        made.training(trial, curve=[1.0, 0.5])
    made.report()
    text = made.folder.report_html.read_text()
    assert "a budget in time also covers previews, evaluations and checkpoints" in text
    assert "not counted" not in text


def test_templates_are_part_of_the_distribution():
    assert report.TEMPLATES.is_relative_to(Path(gancore.__file__).parent)
    assert {file.name for file in report.TEMPLATES.iterdir()} == {"report.html", "report.css"}


def test_texts_are_shown_as_text_escaped_and_without_a_picture(tmp_path):
    made = record(tmp_path, Sentences())
    made.about(points(8))
    for trial in made.trials:
        made.training(trial)
        made.samples(trial, points(8))
    shown = made.report()["samples"]["a"]
    assert (shown["count"], shown["preview"], len(shown["texts"])) == (8, "", 8)
    text = made.folder.report_html.read_text()
    parsed = Parsed(text)
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in text and "<b>bold" not in text
    assert "\x1b" not in text and "\u202e" not in text and "(empty)" in text
    assert [tag for tag, _ in parsed.tags].count("li") >= 24 and "x" * 6001 not in text
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert "Also in the folder: 1.svg" in text and 'class="galleries texts"' in text


@pytest.mark.parametrize("texts", ["torn", [3], [["title"]], [["a", 1]], {"a": "b"}])
def test_an_index_with_something_else_than_texts_is_none(tmp_path, texts):
    made = record(tmp_path, Sentences())
    made.about(points(8))
    file = made.folder.samples("real") / "index.json"
    file.write_text(json.dumps({**read_json(file), "texts": texts}))
    assert made.report()["samples"] == {}
