"""What the spike sends: whose requests, when, and with which bodies. Seeded, so that every run sends the same."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.spike_load import Planned
from countersign.settings import ROOT

EXAMPLES = ROOT / "examples"
HEAVY_SHARE = 0.9
"""Of all requests, those of the one heavy tenant."""
HOSTILE_SHARE = 0.01
USERS = {"heavy": 40, "light": 2}
"""Users of the heavy tenant, and of each other one."""
BOUNDARY = "countersign-spike"

INNOCENT = (("small", 0.7), ("medium", 0.2), ("large", 0.05), ("pdf", 0.05))
"""Kinds of innocent documents by share: about 4, 20 and 120 KB of text, and a PDF."""
HOSTILE = ("injected", "bad_key", "too_large", "deep_json", "by_reference")


def tenants(count: int) -> list[str]:
    """Their names; the first is the heavy one."""
    return [f"spike-{number}" for number in range(count)]


def users(tenant_number: int) -> list[str]:
    """Users of a tenant by number."""
    return [f"user-{number}" for number in range(USERS["light" if tenant_number else "heavy"])]


def write_bodies(folder: Path, playbook: str, max_mb: float) -> dict[str, tuple[int, str, str]]:
    """Write one body a kind; by kind its index, content type and path."""
    nda = (EXAMPLES / "nda-clean.md").read_text(encoding="utf-8")
    boundary = f"multipart/form-data; boundary={BOUNDARY}"
    as_json = "application/json"

    def text(content: str) -> bytes:
        return json.dumps({"playbook": playbook, "text": content, "ask": "May we sign this?"}).encode()

    def schedule(chars: int) -> str:
        """The NDA with a schedule of harmless sections until it is as long."""
        parts = [nda]
        while sum(map(len, parts)) < chars:
            number = len(parts)
            parts.append(
                f"\n\n## Schedule {number}\n\nItem {number} of the records that the parties exchange under this "
                "agreement consists of drawings, price lists and samples, each marked as confidential when it is "
                "handed over. "
            )
        return "".join(parts)

    nested = "[" * 20_000 + "]" * 20_000
    made: dict[str, tuple[str, bytes]] = {
        "small": (as_json, text(nda[:4_000])),
        "medium": (as_json, text(schedule(20_000))),
        "large": (boundary, multipart(playbook, "contract.md", schedule(120_000).encode())),
        "pdf": (boundary, multipart(playbook, "contract.pdf", (EXAMPLES / "services.pdf").read_bytes())),
        "injected": (boundary, multipart(playbook, "nda.md", (EXAMPLES / "nda-hostile.md").read_bytes())),
        "bad_key": (as_json, text(nda[:4_000])),
        "too_large": (boundary, multipart(playbook, "big.txt", b"a " * int(max_mb * 600_000))),
        "deep_json": (as_json, f'{{"playbook": "{playbook}", "text": {nested}}}'.encode()),
        "by_reference": (as_json, json.dumps({"playbook": playbook, "url": "http://127.0.0.1:1/a.pdf"}).encode()),
    }
    found = {}
    for index, (kind, (content_type, content)) in enumerate(made.items()):
        path = folder / f"{kind}.body"
        path.write_bytes(content)
        found[kind] = (index, content_type, str(path))
    return found


def multipart(playbook: str, name: str, content: bytes) -> bytes:
    """A form with the file and its playbook."""
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{{}}"'
    return (
        part.format("playbook").encode()
        + f"\r\n\r\n{playbook}\r\n".encode()
        + part.format("file").encode()
        + f'; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode()
        + content
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )


def plan_requests(
    count: int, seconds: float, names: Sequence[str], tokens: Mapping[tuple[str, str], str], bodies: Mapping[str, int]
) -> list[dict[str, object]]:
    """`count` requests over `seconds`: nine in ten of the heavy tenant, one in a hundred hostile, in random order."""
    chance = random.Random(20261122)  # noqa: S311 - the same load every time
    planned = []
    for number in range(count):
        heavy = len(names) == 1 or chance.random() < HEAVY_SHARE
        tenant_number = 0 if heavy else 1 + number % (len(names) - 1)
        tenant = names[tenant_number]
        user = chance.choice(users(tenant_number))
        if chance.random() < HOSTILE_SHARE:
            kind = chance.choice(HOSTILE)
        else:
            kind = chance.choices([name for name, _ in INNOCENT], [share for _, share in INNOCENT])[0]
        token = tokens[tenant, user]
        planned.append(
            Planned(
                number=number,
                at=round(seconds * number / count, 4),
                tenant=tenant,
                kind=kind,
                token=token[:-6] + "aaaaaa" if kind == "bad_key" else token,
                idempotency_key=f"spike-{number}",
                body=bodies[kind],
            )
        )
    return [asdict(one) for one in planned]
