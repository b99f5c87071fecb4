"""A program: one recipe of each domain, stopped and resumed, beside a run that nothing disturbed.

    python stop_and_resume.py FOLDER

Prints one line for each: domain, recipe, precision, "equal" or "differs".
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_runs import SETTINGS, press_ctrl_c, weights

from gancore.cli import main
from gancore.plugins import plugins
from gancore.training.callbacks import Callbacks

RECIPES = (("audio", "wavegan-lite"), ("image", "dcgan-lite"), ("synthetic", "mlpgan"))
STEPS, STOP = 6, 3


def stop_after(step: int) -> None:
    """The next training that gets there meets Ctrl-C."""
    on_step_end, waiting = Callbacks.on_step_end, [step]

    def act(self, state):
        if state.step in waiting:
            waiting.clear()
            press_ctrl_c()
        on_step_end(self, state)

    Callbacks.on_step_end = act


def settings(domain: str, recipe: str) -> list[str]:
    """The domain's tiny sizes, as far as the recipe has such keys."""
    of = plugins().load_domain(domain)
    tiny, keys = of.tiny_config(), plugins().load_recipe(of, recipe)[1].Config.model_fields
    given = {f"data.{key}": value for key, value in tiny["data"].items()}
    given |= {
        key: value
        for key, value in SETTINGS.items()
        if key.startswith(("logging.", "validation.", "checkpoint."))
    }
    given |= {f"model.{key}": value for key, value in tiny["model"].items() if key in keys}
    return [word for key, value in given.items() for word in ("--set", f"{key}={value}")]


def compare(folder: Path, domain: str, recipe: str) -> str:
    words = ["train", "--domain", domain, "--recipe", recipe, "--steps", str(STEPS)]
    words += ["--device", "cpu", "--quiet"]
    words += settings(domain, recipe)
    whole, stopped = folder / f"{recipe}-whole", folder / f"{recipe}-stopped"
    assert main([*words, "--out", str(whole)]) == 0
    stop_after(STOP)
    assert main([*words, "--out", str(stopped)]) == 130
    assert main(["train", "--resume", str(stopped), "--quiet"]) == 0
    precision = json.loads((whole / "run.json").read_text())["environment"]["precision"]
    return f"{domain} {recipe} {precision} {'equal' if weights(whole) == weights(stopped) else 'differs'}"


if __name__ == "__main__":
    os.environ["GANCORE_CACHE"] = str(Path(sys.argv[1]) / "cache")
    for each in RECIPES:
        print(compare(Path(sys.argv[1]), *each), flush=True)
