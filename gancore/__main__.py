"""``python -m gancore`` is ``gancore``."""

import sys

from gancore.cli import main

if __name__ == "__main__":
    sys.exit(main())
