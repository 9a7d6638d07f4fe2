"""How much of RDS's API the test cluster offers, and how much of that was seen to answer validly.

    python tests/benchmarks/api_coverage.py [--workers 2] [TEST FILE...]

Runs the integration tests whose clients hold every answer to the service's model (those given, or all),
and counts. An operation without an answer always refuses, as what only
another engine can do does, or is not asked by these tests. Figures, not a test: the exit status is 0.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from botocore.loaders import Loader
from botocore.model import ServiceModel

from chaos.testcluster.api.actions import ACTIONS

ROOT = Path(__file__).parents[2]
NOTES = "GAMEDAY_ANSWERED"  # tests/rds_model.py
_USES = ("fix_rds_model", "boto_rds", "rds_model")


def validating_tests() -> list[str]:
    """Return the integration tests that use a validating client."""
    tests = sorted((ROOT / "tests" / "integration").glob("test_*.py"))
    return [str(test) for test in tests if any(word in test.read_text() for word in _USES)]


def answered(tests: list[str], workers: int) -> set[str]:
    """Run tests; return the operations of RDS that answered, each time as the model wants."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "answered"
        notes.touch()
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), *tests]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, NOTES: str(notes)}, check=False)
        if done.returncode != 0:
            print(f"pytest ended with {done.returncode}: what follows is of what ran")
        lines = notes.read_text().splitlines()
    return {
        name for service, _, name in (line.partition(" ") for line in lines) if service == "rds"
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "tests", nargs="*", help="test files; default: all that hold answers to the model"
    )
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    model = ServiceModel(Loader().load_service_model("rds", "service-2"), "rds")
    seen = answered(options.tests or validating_tests(), options.workers) & set(ACTIONS)
    silent = sorted(set(ACTIONS) - seen)
    print(f"offered: {len(ACTIONS)} of RDS's {len(model.operation_names)} operations")
    print(f"answered, every answer valid by the service's model: {len(seen)} of {len(ACTIONS)}")
    print(f"no answer in these tests (only refused, or not asked): {', '.join(silent) or 'none'}")


if __name__ == "__main__":
    main()
