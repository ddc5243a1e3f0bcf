"""Where the servers are: settings first, then a living embedded stack; files of a dead one do no harm."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from countersign.errors import InvalidRequest, ServiceUnavailable
from countersign.settings import Settings
from workers.endpoints import ENDPOINTS_FILE, LOCK_FILE, combine, connect_temporal, published, resolve, supervisor_pid

EMBEDDED = {
    "temporal_address": "127.0.0.1:21000",
    "temporal_namespace": "own",
    "temporal_ui": "http://127.0.0.1:21001",
    "database_url": "postgresql://u:inner-secret@127.0.0.1:21002/c",
    "redis_url": "redis://:inner-secret@127.0.0.1:21003/0",
}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("COUNTERSIGN_", "TEMPORAL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "temporal.toml"))


def publish(home: Path) -> None:
    (home / ENDPOINTS_FILE).write_text(json.dumps(EMBEDDED))
    (home / LOCK_FILE).write_text(str(os.getpid()))


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Path]:
    """A home whose lock is held, as a supervisor holds it."""
    publish(tmp_path)
    with (tmp_path / LOCK_FILE).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield tmp_path


def test_a_living_stack_is_found(living: Path) -> None:
    endpoints = resolve(Settings(home=living))
    assert endpoints.temporal_address == EMBEDDED["temporal_address"]
    assert endpoints.temporal_namespace == "own"
    assert endpoints.temporal_ui == EMBEDDED["temporal_ui"]
    assert endpoints.database_url == EMBEDDED["database_url"]
    assert endpoints.redis_url == EMBEDDED["redis_url"]
    assert supervisor_pid(living) == os.getpid()


def test_asking_does_not_break_the_lock(living: Path) -> None:
    for _ in range(3):
        assert published(living) == EMBEDDED


def test_files_of_a_dead_stack_are_not_believed(tmp_path: Path) -> None:
    # The pid in the file is alive (it is ours), as after a reuse: only the lock counts.
    publish(tmp_path)
    assert supervisor_pid(tmp_path) is None
    with pytest.raises(ServiceUnavailable) as caught:
        resolve(Settings(home=tmp_path))
    assert "Temporal and Postgres and Redis" in str(caught.value)
    assert "countersign dev" in caught.value.remedy
    assert "COUNTERSIGN_DATABASE_URL" in caught.value.remedy


def test_a_home_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable):
        resolve(Settings(home=tmp_path / "nowhere"))


def test_settings_win_over_a_living_stack(living: Path) -> None:
    endpoints = resolve(
        Settings(home=living, temporal_address="temporal.example:7233", redis_url=SecretStr("redis://r.example/1"))
    )
    assert endpoints.temporal_address == "temporal.example:7233"
    assert endpoints.temporal_namespace == "default"
    assert endpoints.temporal_ui is None
    assert endpoints.redis_url == "redis://r.example/1"
    assert endpoints.database_url == EMBEDDED["database_url"]


def test_only_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"known for Postgres\. "):
        resolve(Settings(home=tmp_path, temporal_address="t:7233", redis_url=SecretStr("redis://r")))


def test_a_profile_gives_address_and_namespace(tmp_path: Path) -> None:
    (tmp_path / "temporal.toml").write_text('[profile.prod]\naddress = "cloud.example:7233"\nnamespace = "reviews"\n')
    endpoints = combine(Settings(temporal_profile="prod"), EMBEDDED)
    assert (endpoints.temporal_address, endpoints.temporal_namespace) == ("cloud.example:7233", "reviews")
    chosen = combine(Settings(temporal_profile="prod", temporal_namespace="other"), EMBEDDED)
    assert chosen.temporal_namespace == "other"


def test_an_unknown_profile_is_named(tmp_path: Path) -> None:
    (tmp_path / "temporal.toml").write_text('[profile.prod]\naddress = "cloud.example:7233"\n')
    with pytest.raises(InvalidRequest, match="'staging'"):
        combine(Settings(temporal_profile="staging"), EMBEDDED)


@given(st.sets(st.sampled_from(sorted(EMBEDDED))))
def test_secrets_stay_out_of_repr(names: set[str]) -> None:
    settings = Settings(
        temporal_address="t:1",
        database_url=SecretStr("postgresql://u:outer-secret@h/d"),
        redis_url=SecretStr("redis://:outer-secret@h"),
    )
    shown = repr(combine(settings, {name: EMBEDDED[name] for name in names})) + repr(combine(Settings(), EMBEDDED))
    assert "secret" not in shown


async def test_a_server_that_does_not_answer_is_named() -> None:
    settings = Settings(temporal_address="127.0.0.1:1")  # nothing listens on the reserved port 1
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        await connect_temporal(settings, combine(settings, EMBEDDED), timeout_s=1)


def test_importing_it_imports_no_temporal() -> None:
    code = "import sys, workers.endpoints; sys.exit(any(name.startswith('temporalio') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
