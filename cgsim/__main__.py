"""`python -m cgsim`: the command line."""

import sys

from cgsim.cli import main

if __name__ == "__main__":
    sys.exit(main())
