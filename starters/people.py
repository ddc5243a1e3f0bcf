"""Changes of people, for every way in: made under the name of who makes them, and told to the reviews that wait."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from countersign.errors import InvalidRequest
from starters.client import ReviewClient

if TYPE_CHECKING:
    from countersign.store.people import PeopleBook

_GROUP = re.compile(r"[a-z][a-z0-9_-]{0,47}")

Work = Callable[["PeopleBook", str], Awaitable[bool | None]]
"""A change: gets the book and the pseudonym of who makes it; False says that it was so already."""


@dataclass(frozen=True)
class Changed:
    """What came of a change. `told` and `missed` count running reviews that could and could not be told of it."""

    changed: bool
    told: int = 0
    missed: int = 0


def check_group(name: str) -> str:
    """The name of a group. Raises `InvalidRequest`."""
    if not _GROUP.fullmatch(name):
        raise InvalidRequest("group: is no name of a group", remedy="Write it like legal or legal-emea")
    return name


async def change(client: ReviewClient, tenant: str, by: str, work: Work, *, all_concerned: bool = False) -> Changed:
    """Make a change and tell the tenant's running reviews that it concerns (see `reconsider_signing`).

    Raises what `work` raises, and `ServiceUnavailable`.
    """
    if not by.strip():
        raise InvalidRequest("by: is empty", remedy="A change says who makes it")
    services = await client.services()
    await services.bring_up_to_date()
    if await work(services.people, services.pseudonyms.of("user", by)) is False:
        return Changed(False)
    return Changed(True, *await client.reconsider_signing(tenant, all_concerned=all_concerned))
