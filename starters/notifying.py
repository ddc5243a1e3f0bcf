"""Trying a subscription out, for every way in."""

import asyncio
import secrets
from datetime import UTC, datetime

from countersign.errors import ServiceUnavailable
from countersign.notify.channels import send
from countersign.notify.events import Event, Message
from countersign.notify.webhook import Undeliverable
from starters.client import ReviewClient


async def send_test(client: ReviewClient, tenant: str, subscription_id: str) -> None:
    """Send a test from this process, now. Raises `NotFound`, and `ServiceUnavailable` when it is not delivered."""
    to = await (await client.services()).subscriptions.get(tenant, subscription_id)
    message = Message(event=Event.TEST, tenant=tenant, review_id="test", at=datetime.now(UTC))
    key = f"test-{secrets.token_hex(8)}"
    try:
        await asyncio.to_thread(send, client.settings, to.channel, to.address, to.secret, message, delivery=key)
    except Undeliverable as error:
        raise ServiceUnavailable(f"not delivered: {error}", remedy="Mend that, or remove it and add it anew") from None
