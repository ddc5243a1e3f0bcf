"""Unexpected errors of activities, bounded and without their message, before they reach a history or a log.

A driver's or a library's message can carry values: a name, an address, a line of a contract, a megabyte of prompt. What
is left is the type and the place in our code, which is what a developer needs.
"""

import asyncio
import traceback
from pathlib import PurePath
from typing import Any

from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

OURS = frozenset({"countersign", "activities", "workers"})


class ScrubErrors(Interceptor):
    """A worker interceptor; typed failures and cancellation pass as they are."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            return await super().execute_activity(input)
        except (FailureError, asyncio.CancelledError):
            raise
        except Exception as error:
            raise ApplicationError(f"unexpected error at {place_of(error)}", type=type(error).__name__) from None


def place_of(error: BaseException) -> str:
    """`package/module.py:line` of the innermost frame in our own code, or of the innermost at all."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        parts = PurePath(frame.filename).parts
        for index, part in enumerate(parts):
            if part in OURS and "site-packages" not in parts:
                return f"{'/'.join(parts[index:])}:{frame.lineno}"
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
