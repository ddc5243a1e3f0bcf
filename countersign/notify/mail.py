"""Notifications by e-mail, through the one server of the settings."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from countersign.errors import InvalidRequest
from countersign.notify.events import Message
from countersign.notify.webhook import Undeliverable

TIMEOUT_S = 10.0
LOCAL = {"127.0.0.1", "localhost", "::1"}


def check_address(address: str) -> str:
    """`address`, if it is one an e-mail can go to. Raises `InvalidRequest`."""
    name, at, domain = address.strip().rpartition("@")
    if not (name and at and domain) or any(c.isspace() or c in ',;<>"()' for c in address.strip()):
        raise InvalidRequest("address: is no e-mail address", remedy="Write it plain, as name@example.com")
    return address.strip()


def mail_of(message: Message, sender: str, to: str, delivery: str) -> EmailMessage:
    """The e-mail. Sent again it has the same Message-ID, by which most mailboxes show it once."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, f"[Countersign] {message.headline}"
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{delivery}@{sender.rpartition('@')[2] or 'countersign'}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text + "\n")
    return mail


def send(url: str, mail: EmailMessage) -> None:
    """Give the e-mail to the server at `url`. Raises `Undeliverable`, in whose words no address appears.

    `smtps://` is encrypted from the start; `smtp://` must become so by STARTTLS, but for a server on this machine.
    """
    parts = urlsplit(url)
    host, context = parts.hostname or "localhost", ssl.create_default_context()
    try:
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=TIMEOUT_S)
        with server:
            if parts.scheme != "smtps" and host not in LOCAL:
                server.starttls(context=context)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(mail)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise Undeliverable(f"the mail server did not take it ({type(error).__name__})") from None
