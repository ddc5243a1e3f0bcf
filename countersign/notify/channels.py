"""Sending one notification by its channel. Blocks: call it in a thread."""

import json
import time
from typing import TYPE_CHECKING, Literal

from countersign.notify import mail, webhook
from countersign.notify.events import Message

if TYPE_CHECKING:
    from countersign.settings import Settings

Channel = Literal["webhook", "slack", "email"]
CHANNELS: tuple[Channel, ...] = ("webhook", "slack", "email")


def check(channel: Channel, address: str, *, private: bool) -> str:
    """The address, if the channel can go there. Raises `InvalidRequest`."""
    return mail.check_address(address) if channel == "email" else webhook.check_url(address, private=private)


def send(  # noqa: PLR0913 - a delivery is all of this
    settings: "Settings", channel: Channel, address: str, secret: str, message: Message, *, delivery: str
) -> None:
    """Send it. Raises `webhook.Undeliverable`. `delivery` is the same whenever this notification is sent again."""
    if channel == "email":
        if settings.smtp_url is None:
            raise webhook.Undeliverable("no mail server is set (COUNTERSIGN_SMTP_URL)")
        mail.send(settings.smtp_url.get_secret_value(), mail.mail_of(message, settings.smtp_from, address, delivery))
        return
    headers = {"Countersign-Delivery": delivery, "User-Agent": "countersign"}
    if channel == "slack":
        body = json.dumps({"text": message.text}).encode()
    else:
        body = json.dumps({"delivery": delivery, **message.model_dump(mode="json")}).encode()
        timestamp = int(time.time())
        headers["Countersign-Timestamp"] = str(timestamp)
        headers["Countersign-Signature"] = webhook.signature(secret, timestamp, body)
    webhook.post(address, body, headers, private=settings.private_webhooks)
