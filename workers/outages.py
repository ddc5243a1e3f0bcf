"""The log of an outage: one line when it is first felt, not a traceback a step that is tried again."""

import logging
import time
from collections.abc import Callable

from temporalio.exceptions import ApplicationError

EXPECTED = frozenset({"ServiceUnavailable", "ModelUnavailable"})
"""Types of errors that say that a server or a provider was away. Temporal tries such a step again."""
QUIET_S = 60.0
"""After this long without such an error the next one is another outage."""


class OneLineAnOutage(logging.Filter):
    """For the logger of activities. An unexpected error, or one that is final, passes as it is, with its traceback.

    `clock` gives seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._felt: dict[str, float] = {}
        """When each outage was felt last."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged; that of an outage loses its traceback."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, ApplicationError) or error.type not in EXPECTED or error.non_retryable:
            return True
        # What a driver calls it, in brackets at the end, differs from step to step.
        what = error.message.split(" (", 1)[0]
        now = self._clock()
        is_new = now - self._felt.get(what, float("-inf")) >= QUIET_S
        self._felt[what] = now
        record.msg, record.args = "steps are tried again: %s", (what,)
        record.exc_info = record.exc_text = None
        return is_new


_FILTER = OneLineAnOutage()


def log_outages_once() -> None:
    """Put the filter on the logger of activities, for this process; once, however often it is called."""
    logging.getLogger("temporalio.activity").addFilter(_FILTER)
