"""The models that plugins ship: index, configurations, folders and the rule by which they are shipped."""

from __future__ import annotations

import runpy
from dataclasses import replace
from types import SimpleNamespace

import pytest
from places import ROOT

from gancore.config_layers import load_config_file
from gancore.evaluation.result import EvaluationResult, MetricResult
from gancore.files import read_json_object
from gancore.plugins import plugins

SCRIPT = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "pretrained.py")))
INDEX = SCRIPT.read_index()
GOOD = MetricResult(
    "distance", 20.0, 18.0, 22.0, higher_is_better=False, anchors={"real": 10, "noise": 99, "collapse": 50}
)


def test_every_configuration_is_in_the_index():
    files = {path.stem for path in SCRIPT.FOLDER.glob("*-*.yaml")}
    assert files == {name.replace("/", "-") for name in INDEX}


@pytest.mark.slow
@pytest.mark.parametrize("name", INDEX)
def test_a_configuration_is_one_of_its_domain_with_a_budget_and_terms(name):
    model = INDEX[name]
    config = load_config_file(model.configuration)
    assert config.domain == name.partition("/")[0] and config.train.steps
    licence = plugins().load_domain(config.domain).sources[config.data.source].licence
    assert licence != "none stated" and model.licence


def test_what_is_shipped_is_small_and_in_the_index():
    folders = [path.parent for path in ROOT.glob("plugins/*/gancore_*/models/*/config.json")]
    assert {folder for folder in folders} <= {model.folder for model in INDEX.values()}
    assert all((folder / "model.safetensors").stat().st_size <= SCRIPT.MAX_BYTES for folder in folders)
    assert all(read_json_object(folder / "config.json")["published"]["licence"] for folder in folders)
    registered = {entry.target for entry in plugins().entries("gancore_models")}
    assert {str(folder) for folder in folders} <= registered


def judged(result: MetricResult, **facts: object) -> None:
    SCRIPT.judge(SCRIPT.ShippedModel("a/b", "", "MIT", **facts), EvaluationResult("a/b", [result], {}))


def test_a_model_that_is_as_near_to_noise_or_a_collapse_is_not_shipped():
    judged(GOOD)
    untrusted = {"trust": "no: noise not distinguished"}
    for bad in ({"value": 40.0}, {"value": 90.0}, {"anchors": {}}, untrusted, {"own_scored": True}):
        with pytest.raises(SCRIPT.NotShippedError):
            judged(MetricResult(**{**vars(GOOD), **bad}))
    judged(MetricResult(**{**vars(GOOD), "value": 40.0}), exception="a collapse, kept as an example")
    with pytest.raises(SCRIPT.NotShippedError):
        judged(GOOD, main="another")


def test_cards_are_written_anew_without_a_training(tmp_path):
    with pytest.raises(SCRIPT.NotShippedError, match="--cards"):
        SCRIPT.train_to_end(INDEX["synthetic/ring"], tmp_path / "run", trains=False)
    assert not list(tmp_path.iterdir())


def test_an_evaluation_is_taken_again_only_if_weights_or_metrics_are_others(tmp_path, monkeypatch):
    model, file = INDEX["synthetic/ring"], tmp_path / "ring.jsonl"
    digest = read_json_object(model.folder / "config.json")["files"]["model.safetensors"]
    metrics = SCRIPT.current_metrics(model.folder)
    computed = [MetricResult(name, 1.0, own_scored=own) for name, own in metrics.items()]
    unsaid = [replace(result, own_scored=False) for result in computed]  # of an older version
    taken = EvaluationResult("another", [GOOD], {"model_hash": digest})
    monkeypatch.setitem(SCRIPT.evaluate_packed.__globals__, "evaluate", lambda *args, **facts: taken)
    for results, weights, again in (
        (computed, digest, False),
        (unsaid, digest, False),
        (computed, "0" * 64, True),
        (computed[1:], digest, True),
    ):
        EvaluationResult(model.name, results, {"model_hash": weights}).write(file)
        found = SCRIPT.evaluate_packed(model, model.folder, file)
        assert list(found) == ([GOOD] if again else computed) and found.model == model.name
