"""What is told to whom, and how it is sent: signed, to public addresses only, without names or text."""

import asyncio
import hashlib
import hmac
import json
import socket
import time
from datetime import UTC, datetime
from email import message_from_string
from email.policy import default
from typing import Any

import pytest
from helpers.receivers import mail_receiver, webhook_receiver

from countersign.errors import InvalidRequest
from countersign.notify import channels, mail, webhook
from countersign.notify.events import SUBSCRIBED, Event, Message, audience_of, event_of, message_of
from countersign.notify.webhook import Undeliverable, check_url, is_public
from countersign.review.payloads import AnalysisResult, Finding, ReviewStatus, SigningPolicy, TrailEntry
from countersign.settings import Settings
from countersign.words import EffectState, Severity, Stage

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
MESSAGE = Message(event=Event.WAITING, tenant="acme", review_id="r1", playbook="nda", severities={"high": 2}, at=AT)


def entry(event: str, **facts: Any) -> TrailEntry:
    return TrailEntry(sequence=3, stage=Stage.SIGN, event=event, at=AT, actor="bob@acme.example", facts=facts)


def status(**fields: Any) -> ReviewStatus:
    findings = (
        Finding(id="F1", clause="cap", severity=Severity.HIGH, statement="Quetzalcoatl has no cap"),
        Finding(id="F2", clause="law", severity=Severity.LOW, statement="Foreign law"),
        Finding(id="F3", clause="term", severity=Severity.HIGH, statement="For ever"),
    )
    analysis = AnalysisResult(summary="Quetzalcoatl", key_findings=findings, confidence=0.9, requires_human_review=True)
    given = {"review_id": "r1", "workflow_id": "w", "tenant": "acme", "stage": Stage.SIGN, "playbook": "nda"}
    return ReviewStatus.model_validate({**given, "analysis": analysis, "question": "Who is Quetzalcoatl?", **fields})


# --- what and whom ---


def test_a_message_says_what_waits_and_where_and_nothing_of_the_document_or_of_people() -> None:
    message = message_of(Event.ASKED, entry("asked"), status(), "https://c.example/")
    assert message.severities == {"high": 2, "low": 1}
    assert message.link == "https://c.example/console/reviews/r1"
    said = message.model_dump_json() + message.text
    assert not any(word in said for word in ("Quetzalcoatl", "bob", "cap", "For ever"))
    assert "Review r1 has a question for its requester" in message.text


@pytest.mark.parametrize(
    ("row", "event"),
    [
        (entry("waiting"), Event.WAITING),
        (entry("withdrawn"), Event.REOPENED),
        (entry("proposed", state=EffectState.PENDING), Event.EFFECTS_WAITING),
        (entry("proposed", state=EffectState.ALLOWED), None),
        (entry("claimed"), None),
        (entry("learned"), None),
    ],
)
def test_which_rows_are_told(row: TrailEntry, event: Event | None) -> None:
    assert event_of(row) is event


GROUPED = SigningPolicy(groups=("legal",), leads=("leads",), reviewers=("grace",))
MEMBERS = {"legal": ["p:bob", "p:eve"], "leads": ["p:lea"]}
TARGETS = ("all", "group:legal", "group:leads", "person:p:bob", "person:p:grace", "person:p:lea", "person:p:ana", "x")


def told(event: Event, policy: SigningPolicy = GROUPED) -> set[str]:
    reviewers = [f"p:{name}" for name in policy.reviewers]
    audience = audience_of(event, policy, members=MEMBERS, reviewers=reviewers, requester="p:ana")
    return {target for target in TARGETS if audience.includes(target)}


SIGNERS = {"all", "group:legal", "person:p:bob", "person:p:grace"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event.WAITING, SIGNERS),
        (Event.REMINDED, SIGNERS),
        (Event.ANSWERED, SIGNERS),
        (Event.EFFECTS_WAITING, SIGNERS),
        (Event.ESCALATED, SIGNERS | {"group:leads", "person:p:lea"}),
        (Event.ASKED, {"all", "person:p:ana"}),
        (Event.DECIDED, SIGNERS | {"person:p:ana"}),
    ],
)
def test_who_is_told(event: Event, expected: set[str]) -> None:
    assert told(event) == expected


def test_where_nobody_is_named_every_subscriber_is_told_but_not_what_is_the_requesters() -> None:
    assert told(Event.WAITING, SigningPolicy()) == set(TARGETS) - {"x"}
    assert told(Event.ASKED, SigningPolicy()) == {"all", "person:p:ana"}


# --- webhooks ---


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.8", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),  # noqa: S104 - refused
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::"),
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_addresses_of_our_own_network_are_none_to_send_to(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_addresses_of_the_open_internet_are(address: str) -> None:
    assert is_public(address)


def test_a_host_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def names(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 443)) for host in ("93.184.215.14", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", names)
    with pytest.raises(Undeliverable, match="not public"):
        webhook.resolved("rebind.example", 443, private=False)
    assert webhook.resolved("rebind.example", 443, private=True) == ("93.184.215.14", 443)


@pytest.mark.parametrize(
    "url",
    ["http://a.example/x", "ftp://a.example", "https://", "https://u:p@a.example", "https://a.example/a b", "x", ""],
)
def test_what_is_no_webhooks_address(url: str) -> None:
    with pytest.raises(InvalidRequest):
        check_url(url, private=False)


def test_loopback_is_refused_unless_the_setting_says_otherwise() -> None:
    with webhook_receiver() as hook:
        to = hook.url.replace("http://", "https://")
        with pytest.raises(Undeliverable, match="not public"):
            channels.send(Settings(), "webhook", to, "s", MESSAGE, delivery="d")
        assert hook.got == []


def test_a_webhook_is_signed_so_that_its_receiver_can_check_it() -> None:
    with webhook_receiver() as hook:
        channels.send(Settings(private_webhooks=True), "webhook", hook.url, "whsec_x", MESSAGE, delivery="acme-r1-n3")
        [(path, headers, body)] = hook.got
    assert path == "/hook?x=1"
    stamp = headers["countersign-timestamp"]
    expected = hmac.new(b"whsec_x", stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["countersign-signature"] == f"v1={expected}"
    assert abs(int(stamp) - time.time()) < 60
    assert headers["countersign-delivery"] == "acme-r1-n3"
    assert json.loads(body)["event"] == "waiting"
    assert json.loads(body)["delivery"] == "acme-r1-n3"


def test_slack_gets_text() -> None:
    with webhook_receiver() as hook:
        channels.send(Settings(private_webhooks=True), "slack", hook.url, "s", MESSAGE, delivery="d")
        [(_, headers, body)] = hook.got
    assert json.loads(body) == {"text": "Review r1 waits for a person\nPlaybook nda; findings: 2 high"}
    assert "countersign-signature" not in headers


@pytest.mark.parametrize("answer", [302, 404, 500])
def test_what_is_not_answered_with_2xx_is_not_delivered_and_redirects_are_not_followed(answer: int) -> None:
    with webhook_receiver() as hook:
        hook.status, hook.headers = answer, {"location": hook.url}
        with pytest.raises(Undeliverable, match=f"answered with {answer}"):
            channels.send(Settings(private_webhooks=True), "webhook", hook.url, "s", MESSAGE, delivery="d")
        assert len(hook.got) == 1


def test_no_connection_is_said_without_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Undeliverable, match="no connection") as failed:
        channels.send(
            Settings(private_webhooks=True), "webhook", f"http://127.0.0.1:{port}/k", "s", MESSAGE, delivery="d"
        )
    assert str(port) not in str(failed.value)


def test_a_receiver_that_never_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TOTAL_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Undeliverable, match="no answer"):
            channels.send(Settings(private_webhooks=True), "webhook", url, "s", MESSAGE, delivery="d")


# --- e-mail ---


async def test_an_e_mail_says_it_in_subject_and_text() -> None:
    async with mail_receiver() as box:
        settings = Settings.model_validate({"smtp_url": box.url, "smtp_from": "desk@acme.example"})
        await asyncio.to_thread(
            channels.send, settings, "email", "bob@acme.example", "", MESSAGE, delivery="acme-r1-n3"
        )
        [(to, content)] = box.got
    parsed = message_from_string(content, policy=default)
    assert (to, parsed["subject"]) == ("bob@acme.example", "[Countersign] Review r1 waits for a person")
    assert parsed["message-id"] == "<acme-r1-n3@acme.example>"
    assert parsed.get_content().splitlines() == MESSAGE.text.splitlines()


async def test_a_mail_server_that_refuses_is_said_without_the_address() -> None:
    async with mail_receiver() as box:
        box.refuses = True
        settings = Settings.model_validate({"smtp_url": box.url})
        with pytest.raises(Undeliverable, match="did not take it") as failed:
            await asyncio.to_thread(channels.send, settings, "email", "bob@acme.example", "", MESSAGE, delivery="d")
    assert "bob" not in str(failed.value)
    with pytest.raises(Undeliverable, match="no mail server"):
        channels.send(Settings(), "email", "bob@acme.example", "", MESSAGE, delivery="d")


@pytest.mark.parametrize("address", ["", "bob", "@x", "bob@", "a@b, c@d", "a@b\r\nBcc: c@d", "Bob <a@b>"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidRequest):
        mail.check_address(address)


def test_a_test_is_subscribed_to_by_nobody() -> None:
    assert Event.TEST not in SUBSCRIBED
