"""`python -m repartee`: the same as the command `repartee`."""

from __future__ import annotations

import sys

from repartee.cli import main

if __name__ == "__main__":
    sys.exit(main())
