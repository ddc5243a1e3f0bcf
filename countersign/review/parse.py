"""From loose JSON to payloads, with errors that name fields and never repeat values. Pure."""

from typing import TypeVar

from pydantic import ValidationError

from countersign.errors import InvalidRequest
from countersign.review.payloads import Payload

P = TypeVar("P", bound=Payload)


def parse(model: type[P], given: object, remedy: str) -> P:
    """`given` as a `model`. Raises InvalidRequest naming each bad field and what is wrong with it."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'input'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise InvalidRequest(problems, remedy=remedy) from None
