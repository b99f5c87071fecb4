"""``python -m gancore`` runs the command ``gancore``."""

import sys

from gancore.cli import main

if __name__ == "__main__":
    sys.exit(main())
