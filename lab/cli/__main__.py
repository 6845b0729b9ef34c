"""`python -m lab.cli`, for where the console script is not on the path."""

from __future__ import annotations

from lab.cli.main import main

if __name__ == "__main__":
    main()
