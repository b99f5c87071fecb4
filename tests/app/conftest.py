"""Pages of tiny models, in an empty cache; one thread, as tests run side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from chromium import browser  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("GANCORE_CACHE", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in ("GANCORE_PLUGINS", "GANCORE_DISABLE_PLUGINS", "GANCORE_TRACEBACK"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory):
    """``tiny_model("image", "dcgan-lite", conditional=True)``: the run of a training of 8 steps."""
    runs: dict[tuple[str, ...], Path] = {}

    def train(domain: str, recipe: str, **settings: object) -> Path:
        import gancore
        from gancore.plugins import plugins

        asked = (domain, recipe, *map(str, settings.items()))
        if asked not in runs:
            of = plugins().load_domain(domain)
            tiny, keys = of.tiny_config(), plugins().load_recipe(of, recipe)[1].Config.model_fields
            known = {key: value for key, value in {**tiny["model"], **settings}.items() if key in keys}
            overrides = [f"data.{key}={value}" for key, value in tiny["data"].items()]
            overrides += [f"model.{key}={str(value).lower()}" for key, value in known.items()]
            runs[asked] = tmp_path_factory.mktemp(domain) / "run"
            gancore.train(
                domain, recipe=recipe, overrides=overrides, steps=8, out=runs[asked], progress="none"
            )
        return runs[asked]

    return train
