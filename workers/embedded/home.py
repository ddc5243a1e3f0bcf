"""What the embedded stack keeps in its home besides the servers' data: a lock, ports, passwords, process ids."""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from countersign.errors import InvalidRequest
from workers.endpoints import LOCK_FILE

STATE_FILE = "stack.json"
LOOPBACK = "127.0.0.1"
# Below the ranges from which systems take ports for outgoing connections: a port that is remembered
# stays free, and a client that reconnects to a dead server can not connect to itself.
PORTS = range(20_000, 30_000)


@dataclass
class StackState:
    """Remembered over restarts, by server name. Holds passwords: never shown."""

    ports: dict[str, int] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, home: Path) -> "StackState":
        """The state of `home`, empty for a new one."""
        try:
            text = (home / STATE_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls()
        return cls(**json.loads(text))

    def save(self, home: Path) -> None:
        """Write it down at once."""
        write_private(home / STATE_FILE, json.dumps(asdict(self), indent=1))

    def password(self, name: str) -> str:
        """The password of a server, made when first asked for."""
        return self.passwords.setdefault(name, secrets.token_urlsafe(24))

    def port(self, name: str, home: Path) -> int:
        """The server's port: the one it had if that is still free, else a free one."""
        others = [port for other, port in self.ports.items() if other != name]
        if self.ports.get(name) is None or not is_free(self.ports[name]):
            self.ports[name] = next(port for port in _candidates(name, home) if port not in others and is_free(port))
        return self.ports[name]


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now; connections that linger after a stop do not matter."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads; readers see the old or the new text, never a part."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextlib.asynccontextmanager
async def hold(home: Path) -> AsyncIterator[None]:
    """Be the only supervisor of `home`. Raises `InvalidRequest`, naming the pid, while another one lives."""
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a+", encoding="utf-8") as lock:
        # Repeated, because a reader that asks whether a supervisor lives holds the lock for an instant.
        for attempt in range(10):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if attempt == 9:
                    lock.seek(0)
                    raise InvalidRequest(
                        f"Another stack (pid {lock.read().strip() or 'unknown'}) runs on {home}",
                        remedy="Use it, stop it, or set COUNTERSIGN_HOME to another directory",
                    ) from error
                await asyncio.sleep(0.05)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


def _candidates(name: str, home: Path) -> Iterator[int]:
    """Ports to try, in an order of the home's own: two homes that start at once do not meet."""
    seed = hashlib.sha256(f"{home}/{name}".encode()).digest()
    order = random.Random(seed)  # noqa: S311  no secret
    while True:
        yield order.choice(PORTS)
