"""Subscriptions as people see them: who is told of what, where to without what is secret in it, and how it goes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from countersign.errors import InvalidRequest
from countersign.notify.channels import CHANNELS, Channel
from countersign.notify.events import SUBSCRIBED, Event
from countersign.store.subscriptions import Standing, Subscription
from starters.console.forms import Fields
from starters.console.views.words import human, visible

EVENTS = {
    Event.WAITING: "it waits for a person",
    Event.REMINDED: "it still waits",
    Event.REASSIGNED: "its claim slept, and it is free again",
    Event.ESCALATED: "nobody has decided in time",
    Event.ASKED: "the requester is asked",
    Event.ANSWERED: "the requester has answered",
    Event.DECIDED: "it was decided on",
    Event.REOPENED: "a decision was taken back",
    Event.EFFECTS_WAITING: "effects wait for an approval",
}
CHANNEL_WORDS: Mapping[Channel, str] = {"webhook": "Webhook (signed)", "slack": "Slack-compatible", "email": "E-mail"}
WHOM = {"all": "All reviews", "group": "What concerns a group", "person": "What concerns a person"}


@dataclass(frozen=True)
class SubscriptionView:
    """One subscription; `where` is masked, a person is a pseudonym."""

    subscription_id: str
    whom: str
    person: str
    channel: str
    where: str
    events: str
    delivered: int
    waiting: int
    dead: int
    last_error: str


def subscriptions_of(rows: Iterable[Subscription], standings: Mapping[str, Standing]) -> tuple[SubscriptionView, ...]:
    """Subscriptions in the order given; one that was never told anything has counts of 0."""
    found = []
    for row in rows:
        stands = standings.get(row.subscription_id, Standing(row.subscription_id, 0, 0, 0, None))
        kind, _, name = row.target.partition(":")
        found.append(
            SubscriptionView(
                subscription_id=row.subscription_id,
                whom={"all": "All reviews", "group": f"Group {visible(name)}"}.get(kind, "Person"),
                person=name if kind == "person" else "",
                channel=CHANNEL_WORDS[row.channel],
                where=visible(row.where),
                events="everything"
                if set(row.events) == set(SUBSCRIBED)
                else ", ".join(human(one) for one in SUBSCRIBED if one in row.events),
                delivered=stands.delivered,
                waiting=stands.waiting,
                dead=stands.dead,
                last_error=visible(stands.last_error or ""),
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class Typed:
    """What was typed into the form."""

    whom: str = "all"
    name: str = ""
    channel: str = "webhook"
    address: str = ""
    events: frozenset[Event] = frozenset(SUBSCRIBED)

    @classmethod
    def of(cls, fields: Fields) -> "Typed":
        """From a form."""
        return cls(
            whom=fields.get("whom", ""),
            name=fields.get("name", "")[:320],
            channel=fields.get("channel", ""),
            address=fields.get("address", "")[:2_000],
            events=frozenset(event for event in SUBSCRIBED if fields.get(f"event-{event}")),
        )

    @property
    def target(self) -> str:
        """Whom, as a subscription has it. Raises `InvalidRequest`."""
        if self.whom == "all":
            return "all"
        if self.whom not in WHOM or not self.name:
            raise InvalidRequest("name: is empty", remedy="Name the group or the person, or choose all reviews")
        return f"{self.whom}:{self.name}"

    @property
    def by(self) -> Channel:
        """The channel. Raises `InvalidRequest`."""
        for channel in CHANNELS:
            if channel == self.channel:
                return channel
        raise InvalidRequest("channel: is none", remedy=f"Choose one of {', '.join(CHANNELS)}")


NOTHING = Typed()
