"""Forms as browsers send them (application/x-www-form-urlencoded), bounded like every other body."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from starters.gateway.bodies import MAX_ACTION_JSON, Body
from starters.gateway.problems import MalformedBody, UnsupportedMedia

KIND = "application/x-www-form-urlencoded"
MAX_FIELDS = 2_000
"""Three for each finding that is amended."""

Fields = Mapping[str, str]
"""Fields of a form, without the space around their text. Line ends are as we write them, not as HTML sends them."""


async def read_fields(request: Request, *, limit: int = MAX_ACTION_JSON) -> Fields:
    """The form's fields; of one that is there twice, the first.

    Raises `UnsupportedMedia`, `MalformedBody` and `TooLarge`.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != KIND:
        raise UnsupportedMedia("the body is no form", remedy="Use the console's own pages")
    data = await Body(request, limit, "a form").whole()
    try:
        pairs = parse_qsl(
            data.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise MalformedBody("the form cannot be read", remedy="Go back, load the page again, and repeat it") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value.replace("\r\n", "\n").replace("\x00", "").strip())
    return fields
