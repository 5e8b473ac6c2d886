"""`python -m cgsim`: the command line."""

import os
import sys

if __name__ == "__main__":
    # Python puts the working directory first here: what lies there is no module of ours
    if not sys.flags.safe_path and sys.path[0] == os.getcwd():
        sys.path.append(sys.path.pop(0))
    from cgsim.cli import main

    sys.exit(main())
