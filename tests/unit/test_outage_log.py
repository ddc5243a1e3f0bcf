"""What the log says of an outage: one line, and nothing less of what is not one."""

import logging

import pytest
from temporalio.exceptions import ApplicationError

from workers.outages import QUIET_S, OneLineAnOutage


class Steps:
    """Steps that fail, logged as the SDK does it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.logger = logging.getLogger("test.activity")
        self.logger.filters = [OneLineAnOutage(lambda: self.now)]

    def fail(self, error: Exception) -> None:
        self.logger.warning("Completing activity as failed", exc_info=error)


def away(what: str, why: str, **changes: bool) -> ApplicationError:
    return ApplicationError(f"{what} does not answer ({why})", type="ServiceUnavailable", **changes)


def test_an_outage_is_one_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    steps = Steps()
    for why in ("AdminShutdownError", "ConnectionRefusedError", "AdminShutdownError"):
        steps.fail(away("PostgreSQL at h:1/d", why))
        steps.now += QUIET_S / 2
    steps.fail(away("Redis at h:2", "ConnectionError"))
    assert [record.getMessage() for record in caplog.records] == [
        "steps are tried again: PostgreSQL at h:1/d does not answer",
        "steps are tried again: Redis at h:2 does not answer",
    ]
    assert not any(record.exc_info for record in caplog.records)
    steps.now += QUIET_S
    steps.fail(away("PostgreSQL at h:1/d", "AdminShutdownError"))
    assert len(caplog.records) == 3, "another outage is told again"


@pytest.mark.parametrize(
    "error",
    [
        ApplicationError("unexpected error at activities/read.py:1", type="KeyError"),
        away("PostgreSQL", "x", non_retryable=True),
        ValueError("no failure of a step"),
    ],
)
def test_what_is_unexpected_or_final_keeps_its_traceback(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    steps = Steps()
    for _ in range(2):
        steps.fail(error)
    assert [record.getMessage() for record in caplog.records] == ["Completing activity as failed"] * 2
    assert all(record.exc_info and record.exc_info[1] is error for record in caplog.records)
