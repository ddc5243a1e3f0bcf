"""Style sheets, scripts and the icon: read once, served from memory under a name that changes with their content."""

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from countersign.shadow.sections import SHEET
from starters.gateway.problems import NoSuchPath

KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOLDER = Path(__file__).with_name("static")
FILES = {path.name: path.read_bytes() for path in sorted((*FOLDER.iterdir(), SHEET)) if path.suffix in KINDS}
VERSION = hashlib.sha256(b"\0".join(name.encode() + data for name, data in FILES.items())).hexdigest()[:12]
"""Of all of them together, since scripts import each other by relative names."""
PREFIX = "/console/static"


def address_of(name: str) -> str:
    """Where a page finds a file of ours. `KeyError` when there is none of this name."""
    if name not in FILES:
        raise KeyError(name)
    return f"{PREFIX}/{VERSION}/{name}"


async def asset(request: Request) -> Response:
    """One file. It may be kept for ever, for another content has another address."""
    name, version = request.path_params["name"], request.path_params["version"]
    if name not in FILES:
        raise NoSuchPath("there is no such file", remedy="Load the page again")
    # A page of the version before, still open while the gateway was renewed, gets what there is now, once.
    kept = "public, max-age=31536000, immutable" if version == VERSION else "no-store"
    headers = {"Cache-Control": kept, "Cross-Origin-Resource-Policy": "same-origin"}
    return Response(FILES[name], headers=headers, media_type=KINDS[Path(name).suffix])
