"""Train on the built-in sounds for a minute and write eight new ones.

python examples/train_and_sample.py [section.key=value ...]
"""

import sys

import gancore

run = gancore.train("audio", time="60s", overrides=sys.argv[1:])
files = gancore.generate(run.folder, n=8, out=run.folder / "sounds", seed=1)
print(f"{run.step} steps in {run.seconds:.0f} s, {len(files)} files in {run.folder / 'sounds'}")
