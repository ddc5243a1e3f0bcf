"""The doctor's verdict and the checks that need no server."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from countersign.errors import InvalidRequest, ServiceUnavailable
from countersign.settings import Settings
from workers.doctor import (
    Check,
    Status,
    examine,
    home,
    keys,
    model,
    playbooks,
    python_version,
    redis,
    unknown_settings,
    verdict,
)
from workers.endpoints import Endpoints

FINE = Check("a", Status.OK, "")


def test_warnings_are_no_failure() -> None:
    assert verdict([FINE, Check("b", Status.WARN, "")]) is None


def test_a_failed_server_outweighs_a_failed_setting() -> None:
    setting, server = Check("model", Status.FAIL, ""), Check("redis", Status.FAIL, "", server=True)
    assert isinstance(verdict([FINE, setting]), InvalidRequest)
    worst = verdict([setting, server])
    assert isinstance(worst, ServiceUnavailable)
    assert "model, redis" in str(worst)


@pytest.mark.parametrize(
    ("version", "status"),
    [((3, 10), Status.FAIL), ((3, 11), Status.OK), ((3, 13), Status.OK), ((3, 14), Status.FAIL)],
)
def test_python_versions(version: tuple[int, int], status: Status) -> None:
    assert python_version(version).status is status


def test_a_home_that_is_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert home(Settings(home=tmp_path / "file")).status is Status.FAIL
    assert home(Settings(home=tmp_path / "not" / "yet")).status is Status.OK


def test_a_model_that_is_none_is_named_with_a_remedy() -> None:
    check = model(Settings(model="nonsense"))
    assert check.status is Status.FAIL
    assert "nonsense" in check.detail
    assert check.remedy


def test_a_key_that_is_none_is_named_and_not_shown(tmp_path: Path) -> None:
    assert keys(Settings(home=tmp_path)).status is Status.OK
    assert list(tmp_path.iterdir()) == [], "the doctor makes no key"
    check = keys(Settings(home=tmp_path, master_key=SecretStr("short")))
    assert check.status is Status.FAIL
    assert "COUNTERSIGN_MASTER_KEY" in check.detail
    assert "short" not in f"{check}"


def test_a_folder_without_playbooks_fails(tmp_path: Path) -> None:
    assert playbooks(Settings(playbooks=tmp_path)).status is Status.FAIL


async def test_without_servers_it_says_how_to_start_them(tmp_path: Path) -> None:
    checks = await examine(Settings(home=tmp_path))
    servers = next(check for check in checks if check.part == "servers")
    assert servers.status is Status.FAIL
    assert "countersign dev" in servers.remedy


async def test_the_password_of_a_server_that_is_away_is_not_shown() -> None:
    away = Endpoints("127.0.0.1:1", "default", None, "", SecretStr("redis://:hidden@127.0.0.1:1/0").get_secret_value())
    (check,) = await redis(away)
    assert check.status is Status.FAIL
    assert check.server
    assert "hidden" not in f"{check}"


def test_a_variable_that_is_no_setting_is_told() -> None:
    (check,) = unknown_settings({"COUNTERSIGN_HOME": "x", "COUNTERSIGN_HOEM": "y", "PATH": "z"})
    assert (check.status, check.detail) == (Status.WARN, "unknown: COUNTERSIGN_HOEM")
    assert not list(unknown_settings({"COUNTERSIGN_HOME": "x"}))
