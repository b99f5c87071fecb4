"""One evaluation from end to end, on points whose truth is known; nothing of the core knows this plugin."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from typing import get_args

import dots
import pytest
from refusals import refused

import gancore
from gancore import Spec
from gancore.errors import CheckpointError, ConfigError, DataError, GancoreError
from gancore.evaluation.catalogue import available_metrics, load_metrics
from gancore.evaluation.result import read_evaluations
from gancore.metrics.metric import Control
from gancore.plugins import plugins

OWN = ["height", "mean_apart", "certain"]
DRAWN = ["random_one", "recall", "c2st_trained", "peeling", "ndb"]
"""What draws for itself, or bounds itself by subsets."""


def evaluate(run, measures=tuple(OWN), **settings):
    return gancore.evaluate(run, metrics=measures, **{"n": 150, "device": "cpu", **settings})


def test_measures_and_features_of_plugins_are_taken_with_all_that_they_need_to_be_believed(
    train, empty_cache
):
    messages = []
    found = evaluate(train(), n=200, seed=3, announce=messages.append)
    assert [reading.metric for reading in found] == OWN
    height, apart, certain = found
    assert (height.n, height.n_real, height.source, height.split, height.seed) == (
        200,
        200,
        "trio",
        "test",
        3,
    )
    assert height.low < height.value < height.high and height.method == "normal"
    assert (height.features, apart.features, apart.features_hash) == ("", "plain", "0" * 64)
    assert certain.features == "judged" and len(certain.features_hash) == 64
    assert found.metadata["classifier"]["accuracy"]["value"] > 0.97
    assert found.metadata["features"] == {"name": "plain", "hash": "0" * 64}
    assert found.metadata["versions"].keys() >= {"gancore", "torch"}
    assert any("training dots judge on trio once, for at most" in line for line in messages)


def test_it_is_kept_in_the_runs_folder_and_written_where_asked(train, tmp_path):
    run = train()
    one = evaluate(run, ["height"])
    other = evaluate(run, ["height"], seed=1, out=tmp_path / "there.jsonl")
    evaluate(run, ["height"], seed=1)
    kept = read_evaluations(run / "evaluations.jsonl")
    assert [evaluation.metadata["seed"] for evaluation in kept] == [0, 1]
    assert [evaluation["height"].value for evaluation in kept] == [one["height"].value, other["height"].value]
    (written,) = read_evaluations(tmp_path / "there.jsonl")
    assert written == other


def test_where_it_cannot_be_kept_it_is_told_all_the_same(train):
    run, lines = train(), []
    (run / "evaluations.jsonl").mkdir()
    assert evaluate(run, ["height"], announce=lines.append)["height"].value is not None
    assert lines[-1].startswith("the evaluation was not stored: ")
    (run / "evaluations.jsonl").rmdir()
    evaluate(run, ["height"], announce=lines.append)
    assert lines[-1] == f"stored in {run / 'evaluations.jsonl'}"


@pytest.mark.slow
def test_the_same_is_equal_byte_for_byte_from_an_empty_cache_and_from_a_full_one(train, empty_cache):
    run = train(conditional=True, likely=True)
    lines = []
    for number in range(3):
        if number == 2:
            shutil.rmtree(empty_cache)
        evaluation = evaluate(run, ["likely", "conditional_share", *OWN, *DRAWN])
        lines.append(evaluation.lines()[:-1])
    assert lines[0] == lines[1] == lines[2]
    assert (
        evaluate(run, ["random_one"], seed=5)["random_one"].value
        != evaluate(run, ["random_one"])["random_one"].value
    )


def test_real_rows_are_embedded_once_for_all_models_and_samples_always(train, empty_cache):
    one, other = train("one"), train("other", blur=0.5)
    evaluate(one)
    assert dots.CALLS["embedded"] == 150 * 4  # samples, test, held-out rows, noise; no measure asks for train
    dots.CALLS.clear()
    evaluate(other)
    assert dots.CALLS["embedded"] == 150
    assert dots.CALLS["judged"] == 150
    assert dots.CALLS["mean_apart"] == 1  # its anchors are those of before
    dots.CALLS.clear()
    evaluate(other, data_root=None, seed=1)  # other rows
    assert dots.CALLS["embedded"] == 150 * 4


def test_train_is_embedded_where_a_measure_looks_at_it(train, empty_cache):
    evaluate(train(), ["nearest_train"])
    assert dots.CALLS["embedded"] == 150 * 4 + 400


def test_what_is_not_used_is_not_made(train, empty_cache):
    evaluate(train(), ["height"])
    assert dots.CALLS["prepared"] == dots.CALLS["embedded"] == dots.CALLS["judged"] == 0


def test_features_can_be_chosen_of_the_domain_of_the_core_and_of_another_plugin(train):
    run = train()
    doubled, plain = (evaluate(run, ["mean_apart"], feature_extractor=name) for name in ("doubled", "plain"))
    assert doubled["mean_apart"].value == pytest.approx(2 * plain["mean_apart"].value)
    assert doubled["mean_apart"].features_hash == "d" * 64
    assert evaluate(run, ["mean_apart"], feature_extractor="principal")["mean_apart"].features == "principal"
    assert evaluate(run, ["mean_apart"], feature_extractor="judged").metadata["features"]["name"] == "judged"


def test_the_default_set_is_that_of_quick_measures_and_all_is_all(of_dots):
    known = available_metrics(plugins().load_domain("dots"), Spec({}), print)
    quick, every = (load_metrics(known, names, print).keys() for names in (None, ["all"]))
    assert {"height", "mean_apart", "random_one", "frechet", "nll"} <= quick
    assert "slow" in every - quick
    assert "elsewhere" not in every


def test_what_cannot_be_had_is_left_out_with_the_reason_and_a_broken_measure_loses_only_itself(train):
    run = train(data_labelled=False)
    found = evaluate(run, ["certain", "conditional_share", "likely", "broken", "height"])
    assert found["certain"].skipped == "there is no classifier for these data"
    assert found["conditional_share"].skipped == "the model is not conditional"
    assert found["likely"].skipped == "the model has no likelihood"
    assert found["broken"].skipped == "dots:broken raises ZeroDivisionError: division by zero"
    assert [r.value for r in found][:4] == [None] * 4
    assert not any(r.trusted for r in list(found)[:4])
    assert found["height"].value < 0.3


def test_a_likelihood_is_taken_of_the_reference_rows_and_of_the_anchors(train):
    found = evaluate(train(likely=True), ["likely"])["likely"]
    assert found.value == pytest.approx(found.anchors["real"], abs=0.5)
    assert found.anchors["noise"] > found.anchors["real"] + 1
    assert "collapse" not in found.anchors
    assert found.trust == "yes, blind to collapse by definition"


def test_a_conditional_model_is_asked_for_each_class(train):
    """One that passes over what it is asked for is right once in three times."""
    requested, right = evaluate(train(conditional=True), ["conditional_share", "label_accuracy"], n=600)
    assert requested.value == pytest.approx(1 / 3, abs=0.1)
    assert requested.trust.startswith("unordered")
    assert right.low < 1 / 3 < right.high
    assert right.anchors["real"] > 0.97


def test_data_ten_times_as_large_are_ten_times_as_far(train):
    near = evaluate(train(blur=0.0), ["mean_apart"])["mean_apart"]
    far = evaluate(train("far", data="far", blur=0.0), ["mean_apart"])["mean_apart"]
    assert far.value == pytest.approx(10 * near.value)
    assert far.anchors == pytest.approx({name: 10 * value for name, value in near.anchors.items()})
    assert far.source == "far"


def test_what_can_be_trusted_goes_onto_the_card(train):
    run = train(likely=True)
    before = (run / "model" / "README.md").read_text()
    evaluate(run, ["height"])
    assert (run / "model" / "README.md").read_text() == before
    found = evaluate(run, ["certain", "likely", "wrong_way"], update_card=True)
    card = (run / "model" / "README.md").read_text()
    assert [reading.trusted for reading in found] == [True, True, False]
    for name, unit in (("certain", "share"), ("likely", "nats")):
        assert f"| {name} ({unit}) | {found[name].value:.4g} | not known |" in card
    reference = "150 samples and 150 rows of test of trio"
    assert f"certain: {reference}, features judged ({found['certain'].features_hash[:12]})" in card
    assert f"likely: {reference}\n" in card
    assert "wrong_way" not in card and "Not measured" not in card
    assert gancore.load(run, "cpu").sample(2).data.shape == (2, 3)


def test_a_folder_of_links_is_evaluated_as_caches_of_downloads_hold_it(train, tmp_path):
    run = train()
    linked, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    shutil.copytree(run / "model", blobs)
    linked.mkdir()
    for file in blobs.iterdir():
        (linked / file.name).symlink_to(file)
    before = (blobs / "README.md").read_bytes()
    found = evaluate(linked, ["certain"], update_card=True)
    assert found.metadata["model_hash"] == evaluate(run, ["certain"]).metadata["model_hash"]
    assert (
        "| certain (share) |" in (linked / "README.md").read_text()
        and (blobs / "README.md").read_bytes() == before
    )


def test_a_copyist_is_caught_by_the_measures_of_memory_and_by_them_alone(train):
    """It gives back 300 of the 400 rows of train, in the core's default set, on the judge's features."""
    found = evaluate(train(blur=0.0), None, n=200, feature_extractor="judged")
    assert found.metadata["n_train"] == 400
    assert found["copies"].value > 0.9 and found["copies"].details["p value"] < 1e-6
    assert found["copies"].anchors["real"] < 0.1 and found["copies"].details["rows of train"] == 400
    assert found["nearest_train"].value == 0
    assert found["nearest_train"].anchors["real"] == pytest.approx(1, abs=0.5)
    assert found["c2st_trained"].low < 0.5 < found["c2st_trained"].high
    assert found["class_coverage"].value == 3
    assert found["recall"].value > 0.8
    for reading in found:
        assert reading.skipped or reading.anchors.keys() <= {"real", *get_args(Control)}
        if reading.low is not None:
            assert reading.low <= reading.value <= reading.high, reading
            assert reading.method


@pytest.mark.long
def test_killed_anywhere_it_leaves_nothing_that_the_next_one_stumbles_over(train, empty_cache, tmp_path):
    run = train()
    whole = tmp_path / "whole"
    shutil.copytree(run, whole)
    expected = evaluate(whole, None).lines()[1:-1]
    shutil.rmtree(empty_cache)
    for number in range(12):
        pid = os.fork()
        if pid == 0:
            evaluate(run, None)
            os._exit(0)
        time.sleep(0.25 * number)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert evaluate(run, None).lines()[1:-1] == expected
    assert len(read_evaluations(run / "evaluations.jsonl")) == 1


# Where the data come from.


def test_a_model_that_left_its_run_still_knows_its_data(train, tmp_path):
    run = train(data_scale=2.0, data_test=50)
    expected = evaluate(run, ["height"])
    shutil.copytree(run / "model", tmp_path / "sent")
    found = evaluate(tmp_path / "sent", ["height"])
    assert found["height"].value == expected["height"].value
    assert found["height"].n_real == 50
    assert not (tmp_path / "sent" / "evaluations.jsonl").exists()


def test_a_model_that_was_trained_on_somebodys_folder_asks_for_it(train, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    run = train(data=str(folder))
    assert evaluate(run, ["height"])["height"].source == "mine"
    shutil.copytree(run / "model", tmp_path / "sent")
    assert str(tmp_path) not in (tmp_path / "sent" / "config.json").read_text()
    with refused(ConfigError, fix="--data"):
        evaluate(tmp_path / "sent", ["height"])
    assert evaluate(tmp_path / "sent", ["height"], data=str(folder))["height"].source == "mine"


def test_other_data_are_read_as_the_models_were(train):
    """far is ten times as large, unless the scale is that of the model."""
    found = evaluate(train(), ["mean_apart"], data="far")
    assert found["mean_apart"].source == "far"
    assert found["mean_apart"].value < 1


def test_other_classes_are_refused_for_a_conditional_model(train, tmp_path):
    run = train(conditional=True)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("labelled: true", "labelled: false"))
    with refused(ConfigError, 3, 0, "far"):
        evaluate(run, ["height"], data="far")


def test_data_that_have_changed_since_are_told_of(train):
    run = train()
    assert evaluate(run, ["height"]).metadata["note"] == ""
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("points: 400", "points: 401"))
    assert "trained on other data" in evaluate(run, ["height"]).metadata["note"]


# Which rows.


def test_held_out_rows_are_of_the_rest_of_test_then_of_valid_then_of_the_rest_of_train(train):
    run = train(data_points=300, data_valid=40, data_test=170)
    anchors = evaluate(run, ["height"], n=150).metadata["anchors"]
    assert anchors["n"] == 150
    assert anchors["real"] == "held-out real rows: 20 of test, 40 of valid, 90 of train"
    anchors = evaluate(run, ["height"], n=150, split="valid").metadata["anchors"]
    assert anchors["real"] == "held-out real rows: 150 of train"  # at most half


def test_without_held_out_rows_nothing_is_checked_and_that_is_said(train):
    found = evaluate(train(data_points=1, data_valid=0, data_test=100), ["height"])
    assert (found["height"].n, found["height"].n_real) == (150, 100)
    assert found["height"].anchors == {}
    assert found["height"].trust == "unchecked: no held-out rows for controls"


# Bad input: one line each.


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"measures": ["heigth"]}, "no metric 'heigth' for these data; did you mean 'height'?"),
        ({"measures": []}, "no metric is named"),
        ({"measures": ["elsewhere"]}, "no metric 'elsewhere' for these data"),
        (
            {"feature_extractor": "plian"},
            "no feature extractor 'plian' for these data; did you mean 'plain'?",
        ),
        ({"n": 15}, "15 samples are too few to evaluate; give at least 16"),
        ({"split": "tset"}, "no split 'tset'; did you mean 'test'?"),
        ({"device": "tpu"}, "'tpu'"),
        ({"data": "trioo"}, "there is no file, folder or data set 'trioo'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(train, settings, said):
    with pytest.raises(GancoreError) as caught:
        evaluate(train(), **{"measures": ["height"], "device": "cpu", **settings})
    assert said in str(caught.value)
    assert dots.CALLS["sampled"] == 0


def test_an_empty_split_is_said(train):
    with refused(ConfigError, "test", fix="--split"):
        evaluate(train(data_test=0))


def with_broken_samples(run, percent):
    """A model whose samples are not finite at times; training would end with an error where it sees one."""
    file = run / "model" / "config.json"
    config = json.loads(file.read_text())
    config["model"]["broken"] = percent
    file.write_text(json.dumps(config))
    return run


def test_samples_that_are_no_numbers_are_counted(train):
    with refused(DataError, 150, "finite", fix="train") as caught:
        evaluate(with_broken_samples(train(), 10))
    assert 3 < int(str(caught.value).split()[0]) < 40


def test_a_judge_makes_no_samples_to_be_measured(train):
    with refused(ConfigError, "judge", fix="generates"):
        evaluate(train(recipe="judge"))


def test_no_model_yet_and_no_such_model(train, tmp_path):
    with refused(ConfigError, "nothing", fix="gancore"):
        evaluate(tmp_path / "nothing")
    run = train()
    shutil.rmtree(run / "model")
    with refused(CheckpointError, "run", fix="checkpoint"):
        evaluate(run)


def test_more_samples_than_memory_holds_are_refused_before_they_are_made(train):
    with refused(ConfigError, "memory", fix="-n"):
        evaluate(train(), ["height"], n=10**14)
