"""Comparisons from the first training to the page, tiny, on distributions of known truth."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from forked import ForkedProcesses, import_all
from refusals import refused

import gancore
from gancore.comparison import runner
from gancore.comparison.folder import ComparisonFolder, read_json
from gancore.errors import ConfigError, DataError, GancoreError, StorageError
from gancore.file_lock import RUN_LOCK, is_locked

SMALL = [
    "data.train_examples=400",
    "data.validation_examples=100",
    "validation.samples=64",
    "logging.preview_samples=2",
]
SMALL += ["logging.preview_every=1000", "checkpoint.seconds=0.001"]
TINY = {
    "domain": "synthetic",
    "recipes": ["mlpgan", "realnvp"],
    "steps": 6,
    "overrides": [
        *SMALL,
        "model.batch_size=32",
        "mlpgan:model.width=8",
        "realnvp:model.width=8",
        "realnvp:model.couplings=2",
    ],
    "n": 64,
    "metrics": ["density_error", "reverse_kl"],
    "device": "cpu",
}


@pytest.fixture
def started(monkeypatch):
    """The jobs of all comparisons that the test makes, in order."""
    jobs = []

    class Noting(ForkedProcesses):
        def __init__(self, module, lock, announce):
            super().__init__(module, lock, announce, jobs)

    monkeypatch.setattr(runner, "JobPool", Noting)
    return jobs


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A comparison of two recipes that was never disturbed; tests read it and do not change it."""
    import_all()
    folder = tmp_path_factory.mktemp("whole") / "comparison"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "JobPool", ForkedProcesses)
        return gancore.compare(**TINY, out=folder)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every finished thing by name, with its place on the disk and the moment that it was written."""
    kept = [*folder.glob("evaluations/*"), *folder.glob("tradeoffs/*"), *folder.glob("samples/*/*")]
    kept += [*folder.glob("runs/*/model/*"), *folder.glob("trainings/*")]
    names = {path.relative_to(folder).as_posix(): path.stat() for path in kept}
    whole = {name: state for name, state in names.items() if "/." not in name}  # not what is being written
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in whole.items()}


def weights(folder: Path) -> dict[str, bytes]:
    return {path.parts[-3]: path.read_bytes() for path in folder.glob("runs/*/model/model.safetensors")}


@pytest.mark.slow
def test_it_trains_measures_shows_and_times_each(whole):
    report = whole.report
    assert whole.failures == ()
    assert [run["state"] for run in report["runs"]] == ["done", "done"]
    assert {run["steps"] for run in report["runs"]} == {6}
    assert {run["fingerprint"] for run in report["runs"]} == {report["environment"]["data"]["fingerprint"]}
    assert [m["metric"] for m in report["metrics"]] == ["density_error", "reverse_kl"]
    assert all(m["recipes"].keys() == {"mlpgan", "realnvp"} for m in report["metrics"])
    assert report["tradeoffs"]["mlpgan"]["kind"] == "GAN"
    assert report["tradeoffs"]["realnvp"]["kind"] == "likelihood model"
    assert report["samples"].keys() == {"real", "mlpgan", "realnvp"}
    assert {shown["count"] for shown in report["samples"].values()} == {100}
    assert whole.report_html.stat().st_size < 10e6


def test_both_were_trained_and_chosen_alike(whole):
    configs = [run["config"] for run in whole.report["runs"]]
    for section in ("data", "train"):
        assert configs[0][section] == configs[1][section]
    kept = ComparisonFolder(whole.folder)
    for run in whole.report["runs"]:
        text = (kept.path / "runs" / run["trial"] / "config.yaml").read_text()
        assert "select: density_error" in text
        assert [point["step"] for point in run["curves"]["density_error"]] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_models_that_all_tell_a_likelihood_can_be_chosen_by_it(started, tmp_path):
    recipes = ["realnvp", "kde"]
    settings = [line for line in TINY["overrides"] if not line.startswith("mlpgan")]
    settings[settings.index("model.batch_size=32")] = "realnvp:model.batch_size=32"
    config = TINY | {"recipes": recipes, "overrides": settings, "select": "nll", "metrics": ["nll"]}
    made = gancore.compare(**config, out=tmp_path / "comparison")
    for run in made.report["runs"]:
        assert "select: nll" in (made.folder / "runs" / run["trial"] / "config.yaml").read_text()
        lowest = min(run["curves"]["nll"], key=lambda point: point["value"])
        assert run["chosen_step"] == lowest["step"]


def test_report_json_is_what_python_returns_and_what_the_page_was_made_of(whole):
    assert read_json(whole.folder / "report.json") == whole.report
    text = whole.report_html.read_text()
    for statement in whole.report["verdict"]:
        assert statement["text"].split(":")[0].replace("'", "&#39;") in text


def test_the_same_again_makes_nothing_again(whole, started):
    before, page = contents(whole.folder), whole.report_html.read_bytes()
    again = gancore.compare(**TINY, out=whole.folder)
    assert started == []
    assert contents(whole.folder) == before
    assert again.report == whole.report
    assert again.report_html.read_bytes() == page


def test_resume_uses_the_stored_settings(whole, started):
    assert gancore.compare(resume=whole.folder).report == whole.report
    assert started == []


@pytest.mark.parametrize(
    "given",
    [
        {"domain": "synthetic"},
        {"data": "ring"},
        {"steps": 7},
        {"recipes": ["mlpgan"]},
        {"overrides": ["model.width=8"]},
        {"grid": ["model.width=4,8"]},
        {"select": "last"},
        {"n": 64},
        {"metrics": ["reverse_kl"]},
        {"feature_extractor": "coordinates"},
        {"evaluation_seed": 0},
        {"device": "cpu"},
        {"out": "elsewhere"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_resume_refuses_every_other_setting_by_name(whole, started, given):
    """Even one that is equal to the stored one: nothing is ignored silently."""
    (name,) = given
    with refused(ConfigError, name, "resume", fix="seeds"):
        gancore.compare(resume=whole.folder, **given)
    assert started == []


@pytest.mark.parametrize(("seeds", "all_seeds"), [(2, [0, 1]), ([7, 0], [0, 7]), ([0], [0])])
def test_resume_adds_seeds(whole, monkeypatch, seeds, all_seeds):
    """To those of the folder, which come first; the folder itself is not changed here."""
    saved = []
    monkeypatch.setattr(runner, "atomic_write", lambda path, text: saved.append(path.name))
    monkeypatch.setattr(runner.ComparisonRunner, "_prepare", lambda self, pool: None)
    monkeypatch.setattr(runner.ComparisonRunner, "_run_trials", lambda self, pool: None)
    monkeypatch.setattr(runner, "write_report", lambda folder, config, trials: {"failures": [], "of": trials})
    trials = gancore.compare(resume=whole.folder, seeds=seeds).report["of"]
    assert list(dict.fromkeys(trial.seed for trial in trials)) == all_seeds
    assert len(trials) == 2 * len(all_seeds) and saved == ["comparison.yaml"]


@pytest.mark.slow
def test_resume_trains_the_seeds_that_are_new(whole, started, tmp_path):
    folder = tmp_path / "copy"
    os.system(f"cp -a {whole.folder} {folder}")
    from gancore.cli import main

    assert main(["compare", "--resume", str(folder), "--seeds", "2", "--quiet"]) == 0
    assert [job.trial for job in started if "train" in job.stages] == [2, 3]
    assert (folder / "runs/mlpgan-seed1/model").is_dir()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--resume", "--seeds", "2", "--set", "model.width=8"], "--set"),
        (["--resume", "-n", "64"], "-n"),
        (["--resume", "--device", "auto"], "--device"),
        (["--report-only", "--seeds", "2"], "--seeds"),
        (["--report-only", "--metrics", "reverse_kl"], "--metrics"),
    ],
)
def test_options_that_the_folder_stores_are_refused_by_name(whole, started, words, named, capsys):
    from gancore.cli import main

    before = contents(whole.folder)
    assert main(["compare", words[0], str(whole.folder), *words[1:]]) == 2
    assert f"{named} cannot be combined with {words[0]}" in capsys.readouterr().err
    assert started == [] and contents(whole.folder) == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"steps": 7}, "steps: 6 -> 7"),
        ({"recipes": ["mlpgan"], "overrides": SMALL}, "recipes: mlpgan,realnvp -> mlpgan"),
        ({"n": 65}, "n: 64 -> 65"),
        ({"select": "last"}, "select: none -> last"),
    ],
)
def test_asked_otherwise_it_is_refused_with_the_difference(whole, started, change, expected):
    with refused(ConfigError, "comparison", fix="--resume") as refusal:
        gancore.compare(**(TINY | change), out=whole.folder)
    assert expected in refusal.value.message
    assert started == []


def test_what_is_lost_is_made_again_and_nothing_else(whole, started, tmp_path):
    folder = tmp_path / "copy"
    os.system(f"cp -a {whole.folder} {folder}")
    (folder / "evaluations" / "mlpgan-seed0.jsonl").unlink()
    (folder / "tradeoffs" / "realnvp-seed0.json").write_text("{ torn")
    before = contents(folder)
    gancore.compare(resume=folder)
    assert [(job.trial, job.stages) for job in started] == [(0, ("evaluate",)), (1, ("time",))]
    changed = {name for name, state in contents(folder).items() if before.get(name) != state}
    assert changed == {"evaluations/mlpgan-seed0.jsonl", "tradeoffs/realnvp-seed0.json"}
    assert readings(folder) == readings(whole.folder)


def test_other_weights_are_measured_anew(whole, started, tmp_path):
    """What was measured belongs to the weights it was measured of, not to a name."""
    folder = tmp_path / "copy"
    os.system(f"cp -a {whole.folder} {folder}")
    other = folder / "runs" / "realnvp-seed0" / "model"
    os.system(f"rm -r {folder}/runs/mlpgan-seed0/model; cp -a {other} {folder}/runs/mlpgan-seed0/model")
    kept = ComparisonFolder(folder)
    config = runner.read_comparison_config(kept.config_file)
    first = runner.make_trials(config)[0]
    assert kept.is_finished(first, "train")
    assert not any(kept.is_finished(first, stage) for stage in ("evaluate", "show", "time"))


@pytest.mark.slow
def test_a_recipe_that_fails_is_reported_and_the_rest_goes_on(started, tmp_path):
    """PacGAN is for points: on pictures it refuses, when it is built. The exit code is then 3."""
    folder = tmp_path / "comparison"
    pictures = [
        "data.train_examples=60",
        "data.validation_examples=40",
        "validation.samples=16",
        "model.batch_size=8",
    ]
    words = ["compare", "--domain", "synthetic", "--data", "triangles", "--recipes", "pacgan,mlpgan"]
    words += ["--steps", "2", "-n", "32", "--device", "cpu", "--out", str(folder), "--quiet"]
    words += ["--metrics", "frechet"]
    words += [word for text in [*pictures, "mlpgan:model.width=4"] for word in ("--set", text)]
    from gancore.cli import main

    assert main(words) == 3
    report = read_json(folder / "report.json")
    (failure,) = report["failures"]
    assert failure["trial"] == "pacgan-seed0" and failure["stage"] == "train"
    assert "pacgan is for points, and this source has images" in failure["message"]
    assert {run["trial"]: run["state"] for run in report["runs"]} == {
        "pacgan-seed0": "failed",
        "mlpgan-seed0": "done",
    }
    assert report["verdict"][0]["text"].startswith("No verdict: only mlpgan was evaluated")
    assert "pacgan is for points" in (folder / "report.html").read_text()
    assert not list((folder / "runs").glob("pacgan*"))


@pytest.mark.slow
def test_a_recipe_that_diverges_is_reported(started, tmp_path):
    rates = ["model.lr=1e30", "logging.every=50"]
    made = gancore.compare(
        "synthetic",
        recipes=["wild=realnvp"],
        steps=260,
        overrides=[*SMALL, "checkpoint.seconds=60", "model.width=4", *rates],
        n=32,
        device="cpu",
        out=tmp_path / "comparison",
    )
    (failure,) = made.failures
    assert failure.startswith("wild-seed0: ")
    (run,) = made.report["runs"]
    assert (run["name"], run["recipe"], run["state"]) == ("wild", "realnvp", "failed")


def test_data_that_cannot_be_opened_leave_nothing(started, tmp_path):
    folder = tmp_path / "comparison"
    with refused(GancoreError, "nowhere"):
        gancore.compare(**TINY, data="nowhere", out=folder)
    assert not folder.exists()


def test_data_that_changed_are_refused(whole, started, tmp_path):
    folder = tmp_path / "copy"
    os.system(f"cp -a {whole.folder} {folder}")
    os.system(f"rm -r {folder}/runs/realnvp-seed0")
    about = json.loads((folder / "environment.json").read_text())
    about["data"]["fingerprint"] = "another"
    (folder / "environment.json").write_text(json.dumps(about))
    with refused(DataError, "data", fix="restore"):
        gancore.compare(resume=folder)
    assert len(started) == 1


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (DataError("no such file", "give another"), DataError, 2),
        (StorageError("the disk is full", "make room"), StorageError, 75),
        (RuntimeError("singular"), GancoreError, 1),
    ],
)
def test_an_error_of_the_preparation_keeps_class_and_exit_code(
    started, tmp_path, monkeypatch, capsys, error, kind, code
):
    from gancore.cli import main
    from gancore.comparison import preparation

    def fail(*arguments):
        raise error

    monkeypatch.setattr(preparation, "prepare_comparison", fail)
    with pytest.raises(kind) as raised:
        gancore.compare(**TINY, out=tmp_path / "comparison")
    assert raised.value.exit_code == code and str(error).split(";")[0] in raised.value.message
    if code == 2:
        assert raised.value.fix == "give another"
    words = ["compare", "--domain", "synthetic", "--steps", "6", "--out", str(tmp_path / "other")]
    assert main(words) == code
    assert "{" not in capsys.readouterr().err, "the error in JSON is not shown"


@pytest.mark.slow
def test_several_at_once_give_what_one_after_another_gives(whole, started, tmp_path):
    made = gancore.compare(**TINY, jobs=2, out=tmp_path / "comparison")
    assert weights(made.folder) == weights(whole.folder)
    assert [job.stages for job in started[-2:]] == [("time",), ("time",)]  # clocks run alone
    assert made.report["verdict"][0] == whole.report["verdict"][0]


def test_several_at_once_would_share_their_seconds(tmp_path):
    with refused(ConfigError, "--jobs", 2, fix="steps"):
        gancore.compare(**(TINY | {"steps": None, "time": "10s"}), jobs=2, out=tmp_path / "comparison")
    assert not (tmp_path / "comparison").exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"recipes": ["mlpgn"], "overrides": []}, "did you mean 'mlpgan'?"),
        ({"overrides": ["mlpgan:model.widht=8"]}, "mlpgan: unknown key 'model.widht'"),
        ({"overrides": ["vae:model.width=8"]}, "'vae' is not in this comparison"),
        ({"overrides": ["mlpgan:data.train_examples=8"]}, "data.*"),
        ({"overrides": ["train.seed=3"]}, "--seeds"),
        ({"overrides": ["train.steps=3"]}, "--steps"),
        ({"select": "beauty"}, "there is no such metric"),
        ({"select": "nll"}, "--select nll: mlpgan gives no likelihood on these data"),
        ({"metrics": ["beauty"]}, "no metric 'beauty' for these data"),
        ({"feature_extractor": "beauty"}, "no feature extractor 'beauty'"),
        ({"domain": None}, "no domain is given"),
        ({"steps": None}, "no budget is given"),
        ({"steps": None, "time": "10 days"}, "unknown unit 'days'"),
        ({"recipes": ["mlpgan", "mlpgan"]}, "occurs twice"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(started, tmp_path, change, expected):
    with pytest.raises(GancoreError) as refusal:
        gancore.compare(**(TINY | change), out=tmp_path / "comparison")
    assert expected in str(refusal.value) and "\n" not in str(refusal.value)
    assert not (tmp_path / "comparison").exists()


def test_a_folder_with_other_things_is_refused(started, tmp_path):
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with refused(ConfigError, "--out", tmp_path, fix="empty"):
        gancore.compare(**TINY, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def killed(folder: Path, moment) -> str:
    """Start the comparison in a process of its own and kill it, and its children, when the moment comes."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            runner.JobPool = ForkedProcesses
            gancore.compare(**TINY, out=folder)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 60
    while not moment(folder) and time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return "over"
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)  # the process alone: its children must notice
    os.waitpid(pid, 0)
    return "killed"


MOMENTS = {
    "in the first training": lambda f: any(f.glob("runs/mlpgan-seed0/checkpoints/step-00000000[3-5]")),
    "while measuring": lambda f: is_trained(f / "runs/mlpgan-seed0"),
    "while timing": lambda f: any(f.glob("samples/mlpgan*")),
    "in the second training": lambda f: any(f.glob("runs/realnvp-seed0/checkpoints/*")),
}


def is_trained(run: Path) -> bool:
    return read_json(run / "run.json").get("status") == "done"


def finished(folder: Path) -> dict[str, tuple[int, int]]:
    """What a kill must not cost: all but models whose training goes on."""
    trained = {path.name for path in folder.glob("runs/*") if is_trained(path)}
    models = {f"runs/{name}/" for name in trained}
    return {
        name: state
        for name, state in contents(folder).items()
        if not name.startswith("runs/") or name.startswith(tuple(models))
    }


def wait_for_children(folder: Path) -> None:
    """They end by themselves, and may finish a file until then; on a busy machine that takes longer."""
    time.sleep(1.5)
    deadline = time.monotonic() + 60
    while any(is_locked(lock) for lock in folder.rglob(RUN_LOCK)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_killed_anywhere_it_repeats_nothing_and_ends_as_if_it_had_not_been(whole, started, tmp_path):
    folder, kept = tmp_path / "comparison", {}
    for moment in MOMENTS.values():
        assert killed(folder, moment) == "killed"
        wait_for_children(folder)
        kept |= finished(folder)
    assert len({name.partition("/")[0] for name in kept}) >= 4
    made = gancore.compare(**TINY, out=folder)
    assert kept.items() <= finished(folder).items()
    assert weights(folder) == weights(whole.folder)
    assert made.failures == ()
    assert readings(folder) == readings(whole.folder)
    assert not [path for path in folder.rglob(".tmp-*")]


def readings(folder: Path) -> dict[str, list[str]]:
    """All lines of all evaluations but those that say how long it took."""
    return {path.name: path.read_text().splitlines()[:-1] for path in folder.glob("evaluations/*")}


def test_a_name_that_looks_like_a_path_stays_inside(tmp_path):
    with pytest.raises((ConfigError, DataError)):
        gancore.compare(**(TINY | {"recipes": ["../x=mlpgan"]}), out=tmp_path / "comparison")


@pytest.mark.slow
def test_more_seeds_are_added_to_those_that_are_there(whole, started, tmp_path):
    folder = tmp_path / "copy"
    os.system(f"cp -a {whole.folder} {folder}")
    before = (folder / "runs/mlpgan-seed0/model/model.safetensors").read_bytes()
    made = gancore.compare(**TINY, seeds=[0, 7], out=folder)
    trained = [job.trial for job in started if "train" in job.stages]
    assert trained == [2, 3] and made.failures == ()
    assert runner.read_comparison_config(ComparisonFolder(folder).config_file).seeds == [0, 7]
    assert (folder / "runs/mlpgan-seed7/model").is_dir()
    assert (folder / "runs/mlpgan-seed0/model/model.safetensors").read_bytes() == before
