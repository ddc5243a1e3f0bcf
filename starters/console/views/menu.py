"""The menu: what most people need all day stands in the bar, the rest under headings; nobody sees what they may not."""

from collections.abc import Callable
from dataclasses import dataclass

from countersign.access.permissions import Action

FIRST = (
    ("queue", "Queue", Action.READ_QUEUE),
    ("submit", "Submit", Action.SUBMIT),
    ("reviews", "Reviews", Action.LIST_REVIEWS),
)
MORE = (
    (
        "Work",
        (
            ("batches", "Batches", Action.READ_BATCHES),
            ("people", "People", Action.READ_PEOPLE),
            ("notifications", "Notifications", Action.READ_SUBSCRIPTIONS),
        ),
    ),
    (
        "Evidence",
        (
            ("autonomy", "Autonomy", Action.READ_AUTONOMY),
            ("shadow", "Shadow", Action.READ_SHADOW),
            ("memory", "Memory", Action.READ_MEMORY),
        ),
    ),
    ("Record", (("trail", "Trail", Action.READ_TRAIL), ("costs", "Costs", Action.READ_COSTS))),
    ("Running it", (("circuits", "Circuits", Action.READ_CIRCUITS), ("limits", "Limits", Action.READ_LIMITS))),
)


@dataclass(frozen=True)
class Entry:
    """One page. `here`: it, or one below it, is being looked at."""

    to: str
    name: str
    here: bool


@dataclass(frozen=True)
class Menu:
    """What this person sees of it. `here` is the name of the page among `more` that is looked at, if it is one."""

    first: tuple[Entry, ...]
    more: tuple[tuple[str, tuple[Entry, ...]], ...]
    here: str


def menu_of(may: Callable[[Action], bool], path: str, home: str) -> Menu:
    """The menu of somebody who `may` do some of it, on the page at `path`."""

    def seen(entries: tuple[tuple[str, str, Action], ...]) -> tuple[Entry, ...]:
        return tuple(
            Entry(f"{home}/{to}", name, f"{path}/".startswith(f"{home}/{to}/"))
            for to, name, right in entries
            if may(right)
        )

    more = tuple((heading, found) for heading, entries in MORE if (found := seen(entries)))
    return Menu(seen(FIRST), more, next((one.name for _, found in more for one in found if one.here), ""))
