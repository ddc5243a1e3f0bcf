"""Groups, absences, what was changed about them, and catch rates, as rows for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from countersign.access.principal import Principal
from countersign.errors import InvalidRequest
from countersign.playbook.model import Playbook
from countersign.review.payloads import Absence
from countersign.review.same import same_person
from countersign.store.people import PeopleChange
from countersign.vigilance.rates import CatchRate
from starters.console.forms import Fields
from starters.console.views.words import human, visible


@dataclass(frozen=True)
class Typed:
    """What was typed into the page's forms, for when it is refused. `form` is the one that was sent."""

    form: str = ""
    group: str = ""
    name: str = ""
    until: str = ""
    delegate: str = ""

    @classmethod
    def of(cls, form: str, fields: Fields) -> "Typed":
        """From a form."""
        return cls(form, **{name: fields.get(name, "")[:320] for name in ("group", "name", "until", "delegate")})


NOTHING = Typed()


@dataclass(frozen=True)
class GroupView:
    """A group, what the playbooks have it do, and who is in it."""

    name: str
    signs: tuple[str, ...]
    leads: tuple[str, ...]
    members: tuple[str, ...]


def groups_of(members: Mapping[str, Sequence[str]], playbooks: Iterable[Playbook]) -> tuple[GroupView, ...]:
    """The groups that have members, and those that playbooks name."""
    signs, leads = dict[str, list[str]](), dict[str, list[str]]()
    for playbook in playbooks:
        for found, names in ((signs, playbook.signing.groups), (leads, playbook.signing.leads)):
            for name in names:
                found.setdefault(name, []).append(playbook.title)
    return tuple(
        GroupView(name, tuple(signs.get(name, ())), tuple(leads.get(name, ())), tuple(members.get(name, ())))
        for name in sorted({*members, *signs, *leads})
    )


@dataclass(frozen=True)
class AbsenceView:
    """Who is away. `mine`: the person who looks."""

    person: str
    until: datetime
    delegate: str | None
    mine: bool


def absences_of(absences: Iterable[Absence], who: Principal) -> tuple[AbsenceView, ...]:
    """Absences as this person sees them."""
    return tuple(
        AbsenceView(one.person, one.until, one.delegate, same_person(one.person, who.user)) for one in absences
    )


def until_of(text: str) -> datetime:
    """The time that a form gives, in UTC. Raises `InvalidRequest`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest("until: is no time", remedy="Write it like 2026-12-24T18:00, in UTC") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@dataclass(frozen=True)
class RateView:
    """A reviewer's catch rate in per cent, with the ends of its 95 % interval."""

    reviewer: str
    mine: bool
    probes: int
    caught: int
    rate: int
    low: int
    high: int


def rates_of(rates: Iterable[CatchRate], who: Principal, *, everybody: bool) -> tuple[RateView, ...]:
    """Everybody's rates, or one's own."""
    return tuple(
        RateView(
            one.reviewer,
            one.reviewer == who.user_hash,
            one.probes,
            one.caught,
            *(round(100 * share) for share in (one.rate, one.low, one.high)),
        )
        for one in rates
        if everybody or one.reviewer == who.user_hash
    )


@dataclass(frozen=True)
class ChangeView:
    """One change in words; people as pseudonyms."""

    what: str
    subject: str
    person: str | None
    other: str | None
    by: str
    at: datetime


def changes_of(changes: Iterable[PeopleChange]) -> tuple[ChangeView, ...]:
    """Changes in words, in the order given."""
    return tuple(
        ChangeView(
            human(one.change).capitalize(),
            visible(f"until {one.subject}" if one.change == "absence set" else one.subject),
            one.person_hash,
            one.other_hash,
            one.by_hash,
            one.changed_at,
        )
        for one in changes
    )
