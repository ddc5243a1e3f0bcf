"""What more than one kind of test needs: the data folder, and settings that never see the developer's own stack."""

import os
from pathlib import Path

import pytest

from countersign.settings import Settings

_KEPT = ("COUNTERSIGN_DATA", "COUNTERSIGN_SAVE_HISTORIES")
for _name in [name for name in os.environ if name.startswith("COUNTERSIGN_") and name not in _KEPT]:
    # The tests' results must not depend on how the shell that starts them is set up.
    del os.environ[_name]
# A review must not carry a vigilance probe by chance; the tests of probes ask for them.
os.environ["COUNTERSIGN_PROBES"] = "0"
# What a granted cell may release must not depend on a draw; tests of the audit sample set shares of their own.
for _name in ("SEMI", "AUTONOMOUS", "URGENCY"):
    os.environ[f"COUNTERSIGN_AUDIT_{_name}"] = "1e-12"


@pytest.fixture(scope="session")
def data() -> Path:
    """The shared real data; tests that need it are skipped without it."""
    folder = Settings().data
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set COUNTERSIGN_DATA to run this test")
    return folder
