"""Unexpected errors leave their message behind."""

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from countersign.playbook.load import load_playbook
from workers.scrub import ScrubErrors, place_of

SECRET = "ana@example.org"


class _Raises(ActivityInboundInterceptor):
    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> None:  # noqa: A002
        raise self._error


async def run(error: BaseException) -> None:
    @activity.defn
    async def step() -> None:
        given = ExecuteActivityInput(fn=step, args=[], executor=None, headers={})
        await ScrubErrors().intercept_activity(_Raises(error)).execute_activity(given)

    await ActivityEnvironment().run(step)


async def test_an_unexpected_error_keeps_its_type_and_loses_its_message() -> None:
    with pytest.raises(ApplicationError) as raised:
        await run(ValueError(f"bad value {SECRET}"))
    assert raised.value.type == "ValueError"
    assert SECRET not in str(raised.value)
    assert raised.value.__suppress_context__
    assert not raised.value.non_retryable


async def test_typed_failures_pass_as_they_are() -> None:
    given = ApplicationError("said on purpose", type="DocumentError", non_retryable=True)
    with pytest.raises(ApplicationError) as raised:
        await run(given)
    assert raised.value is given


def test_the_place_is_in_our_own_code() -> None:
    try:
        load_playbook(None, "x")  # type: ignore[arg-type]
    except TypeError as error:
        assert place_of(error).startswith("countersign/playbook/load.py:")
    else:
        pytest.fail("None is no folder")
