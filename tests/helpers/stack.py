"""A running `countersign dev` as its users see it: the command line and the `temporal` program, as processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countersign.settings import ROOT, Settings

BIN = Path(sys.executable).parent
EXAMPLES = ROOT / "examples"
TEST_PLAYBOOKS = Path(__file__).parent.parent / "playbooks"
CALL_S = 120.0
"""No call of a program takes longer, however busy the machine is."""
SOON_S = 60.0
POLL_S = 0.05


@dataclass(frozen=True)
class Ran:
    """How a program ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout, of a program that ended well."""
        assert self.code == 0, f"exit code {self.code}: {self.err}"
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that refused; fails when it is more than one, or a traceback."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("countersign: "), self.err
        assert "Traceback" not in self.out + self.err
        return lines[0]


def until(what: str, condition: Callable[[], bool], timeout_s: float = SOON_S) -> None:
    """Return once `condition` holds; AssertionError that names `what` after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(POLL_S)


class Dev:
    """One `countersign dev` and the programs that are called against it."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.environment = environment
        self.described: dict[str, Any] = {}

    @property
    def settings(self) -> Settings:
        """Settings with which this process finds the same servers and keys."""
        return Settings(home=self.home, playbooks=Path(self.environment["COUNTERSIGN_PLAYBOOKS"]))

    @property
    def address(self) -> str:
        """host:port of Temporal."""
        return str(self.described["temporal_address"])

    @property
    def pids(self) -> dict[str, int]:
        """The servers and the worker that were started last, by name."""
        pids: dict[str, int] = json.loads((self.home / "stack.json").read_text())["pids"]
        return pids

    def kill(self, name: str) -> int:
        """SIGKILL a server or the worker; the pid that is gone."""
        pid = self.pids[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def is_restarted(self, name: str, dead: int) -> bool:
        """Whether the supervisor has started another process in the place of `dead`."""
        return self.pids.get(name, dead) != dead

    def cli(self, *arguments: str, **settings: str) -> Ran:
        """`countersign …`; `settings` by field name (`max_document_mb="0.001"`)."""
        given = {f"COUNTERSIGN_{name.upper()}": value for name, value in settings.items()}
        return _run((str(BIN / "countersign"), *arguments), {**self.environment, **given})

    def temporal(self, *arguments: str) -> Ran:
        """`temporal …` against this stack, with JSON as its output."""
        tail = ("--address", self.address, "--output", "json")
        return _run((str(BIN / "temporal"), *arguments, *tail), self.environment)

    def status(self, review_id: str, tenant: str = "acme") -> dict[str, Any]:
        """`countersign status --json`."""
        status: dict[str, Any] = self.cli("status", review_id, "--tenant", tenant, "--json").json
        return status

    def trail(self, review_id: str, tenant: str = "acme") -> list[str]:
        """The trail as `stage:event`, verified by the command."""
        trail = self.cli("trail", review_id, "--tenant", tenant, "--json").json
        assert trail["verified"] is True, trail["problem"]
        return [f"{row['stage']}:{row['event']}" for row in trail["rows"]]


def _run(command: Sequence[str], environment: Mapping[str, str]) -> Ran:
    done = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, timeout=CALL_S, check=False, encoding="utf-8"
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@contextmanager
def running_dev(*options: str) -> Iterator[Dev]:
    """`countersign dev` in a new home, stopped by SIGTERM at the end (which must leave with code 0).

    Its playbooks are the product's and the tests' own (`lenient`, `strict`). The home is no folder of pytest's: those
    are closed to PostgreSQL's user.
    """
    with tempfile.TemporaryDirectory(prefix="countersign-", ignore_cleanup_errors=True) as folder:
        playbooks = Path(folder, "playbooks")
        shutil.copytree(ROOT / "playbooks", playbooks)
        shutil.copytree(TEST_PLAYBOOKS, playbooks, dirs_exist_ok=True)
        dev = Dev(Path(folder, "home"), _environment(Path(folder, "home"), playbooks))
        with Path(folder, "dev.log").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                (str(BIN / "countersign"), "dev", "--json", *options),
                env=dict(dev.environment),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line, f"countersign dev did not come up: {Path(log.name).read_text()}"
                dev.described = json.loads(line)
                yield dev
                process.send_signal(signal.SIGTERM)
                assert process.wait(CALL_S) == 0
            finally:
                process.kill()
                process.wait()


def _environment(home: Path, playbooks: Path) -> Mapping[str, str]:
    """This process's variables without any that lead to another stack."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("COUNTERSIGN_", "TEMPORAL_"))
    }
    return {
        **inherited,
        "COUNTERSIGN_HOME": str(home),
        "COUNTERSIGN_PLAYBOOKS": str(playbooks),
        "COUNTERSIGN_GATEWAY_PORT": "0",
        # As in `tests/conftest.py`: nothing by chance.
        "COUNTERSIGN_PROBES": "0",
        **{f"COUNTERSIGN_AUDIT_{name}": "1e-12" for name in ("SEMI", "AUTONOMOUS", "URGENCY")},
    }


MACHINE = (
    "submit:admitted",
    "read:read",
    "screen:screened",
    "intent:understood",
    "recall:recalled",
    "plan:planned",
    "analyse:analysed",
    "reconcile:reconciled",
    "gate:routed",
)
"""The trail of the machine's part of a review, one row a stage."""
WAITING = (*MACHINE, "sign:waiting")
SIGNED = (*WAITING, "sign:decided", "learn:learned", "settle:ended")
