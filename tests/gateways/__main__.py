"""`make gateways`: says which proxies are there, and tests the gate with each. `--long` puts more load on them."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.gateways.programs import PROGRAMS

LONG: Final = "FAREBOX_TEST_GATEWAYS_LONG"


def main() -> int:
    """Run the tests; further arguments are pytest's."""
    parser = argparse.ArgumentParser(prog="python -m tests.gateways", description=__doc__)
    parser.add_argument("--long", action="store_true", help="minutes of load and kills for each proxy, in both modes")
    options, further = parser.parse_known_args()
    for program in PROGRAMS.values():
        sys.stdout.write(f"{program.name:8} {program.version() if program.is_there else 'is not installed'}\n")
    sys.stdout.flush()
    if options.long:
        os.environ[LONG] = "1"
    # What passed tests print are the figures.
    return pytest.main(["-rP", "--no-header", "--show-capture=stdout", *further, str(Path(__file__).parent)])


if __name__ == "__main__":
    sys.exit(main())
