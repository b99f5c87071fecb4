"""Samples of a trained model as tensors, and as files: one with what it holds, one way between two sounds.

python examples/generate_from_model.py RUN_OR_MODEL [FOLDER]
"""

import sys
from pathlib import Path

import gancore

model = gancore.load(sys.argv[1])
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "samples")

samples = model.sample(16, seed=1)  # number i depends on the seed and i alone
print(f"{tuple(samples.data.shape)} between {samples.data.min():.3f} and {samples.data.max():.3f}")
between = model.interpolate(points=16, seed=1)

for name, some in (("drawn", samples), ("between", between)):
    files = model.domain.write(some, folder / name)
    print(f"{len(files)} files in {folder / name}")
