"""Webhooks: signed, to public addresses only, bounded in time and size.

A receiver checks three headers:

- `Countersign-Delivery`: the same whenever this notification is sent again; take it once.
- `Countersign-Timestamp`: Unix seconds; refuse what is older than a few minutes.
- `Countersign-Signature`: `v1=` and the HMAC-SHA256 (hex) of timestamp, a full stop and the body, under the secret that
  `countersign notify add` printed.

Addresses that subscribers choose must not lead our requests into our own network: a host is resolved once, every
address it has is judged, and the connection goes to a judged one. Redirects and proxies are not followed.
"""

import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from countersign.errors import InvalidRequest

CONNECT_S = 5.0
TOTAL_S = 15.0
"""From the connection to the answer's head; then the connection is cut."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Undeliverable(Exception):
    """Why a notification did not go out, in words that name no address: for the outbox."""


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The value of `Countersign-Signature`."""
    return "v1=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def check_url(url: str, *, private: bool) -> str:
    """`url`, if it can be a webhook's: https, or with `private` http as well. Raises `InvalidRequest`."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ({"https", "http"} if private else {"https"}) and bool(parts.hostname)
        fine = fine and parts.username is None and parts.password is None and (parts.port or 443) > 0
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidRequest(
            "address: is no https address", remedy="Write https://host/path, without user, password or blanks"
        )
    return url


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, whatever it is wrapped in."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def resolved(host: str, port: int, *, private: bool) -> tuple[str, int]:
    """An address to connect to. Raises `Undeliverable` when any address of the host is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Undeliverable("its host is not found") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise Undeliverable("its host has no address")
    if not private and not all(is_public(address) for address in addresses):
        raise Undeliverable("its host has an address that is not public")
    return addresses[0], port


def post(url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> None:
    """Send `body` as JSON. Raises `Undeliverable` unless it is answered with 2xx."""
    try:
        check_url(url, private=private)
    except InvalidRequest:
        raise Undeliverable("its address may not be used any more") from None
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        plain = socket.create_connection(resolved(host, port, private=private), timeout=CONNECT_S)
    except OSError as error:
        raise Undeliverable(f"no connection ({type(error).__name__})") from None
    guillotine = threading.Timer(TOTAL_S, _cut, [plain])
    guillotine.daemon = True
    guillotine.start()
    # Not `with plain`: wrapped in TLS, the socket is another.
    connection = http.client.HTTPConnection(host, port, timeout=CONNECT_S)
    try:
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
        connection.request("POST", target, body, {"Content-Type": "application/json", **headers})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Undeliverable(f"no answer ({type(error).__name__})") from None
    finally:
        guillotine.cancel()
        connection.close()
        plain.close()
    if not 200 <= status < 300:
        raise Undeliverable(f"answered with {status}")


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
