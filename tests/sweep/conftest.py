"""Where the tests of sweeps find what they share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from quick_sweeps import sweep  # noqa: F401
