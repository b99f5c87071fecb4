"""Opens the data of a sweep in a process of its own: ``python -m gancore.sweep.preparation JOB``, in JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from gancore.comparison.folder import write_json
from gancore.errors import ConfigError
from gancore.jobs import run_as_job
from gancore.sweep.config import SweepConfig, check_search_space
from gancore.sweep.facts import Facts
from gancore.sweep.jobs import Preparation


def find_facts(job: Preparation) -> Facts:
    """Open the data, and find the metric that judges the trials.

    Raises:
        ConfigError: no metric can judge them.
        DataError: the data cannot be read.
    """
    from gancore.comparison.config import LAST, Trial
    from gancore.comparison.preparation import open_data, selection
    from gancore.plugins import plugins

    config = SweepConfig.make(**job.config)
    if config.metric == LAST:
        raise ConfigError(f"--metric {LAST}: trials are judged by a metric", "name one, or leave it out")
    configs = check_search_space(config)
    trials = [Trial(name, each.recipe, config.seed, each) for name, each in configs.items()]
    domain, first = plugins().load_domain(config.domain), trials[0].config
    _, _, data = open_data(domain, first, None if job.data_root is None else Path(job.data_root))
    found = selection(config.metric, domain, data.spec, data.view("valid"), trials, "--metric")
    metric, on_valid = found["select"], found["on_valid"]
    if not metric:
        raise ConfigError("no metric judges these trials by default", f"give --metric: {', '.join(on_valid)}")
    able, n = on_valid[metric], first.validation.samples
    return Facts(metric, able["higher_is_better"], able["unit"], n, data.fingerprint)


def main(job_json: str) -> int:
    """Run the job; return an exit code of the command line."""
    job = Preparation(**json.loads(job_json))
    return run_as_job(lambda: write_json(Path(job.out), asdict(find_facts(job))), job.parent_pid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
