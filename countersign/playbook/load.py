"""Reading playbooks from TOML files. Every way a file can be wrong ends as one `PlaybookError` a lawyer can act on."""

import hashlib
import json
import re
import tomllib
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from countersign.errors import PlaybookError
from countersign.playbook.model import Learning, Playbook

_NAME = re.compile(r"[a-z][a-z0-9_]{1,47}")
_SHOWN = 80
"""A wrong value is shown up to this length, in characters."""


def list_playbooks(folder: Path) -> tuple[str, ...]:
    """The names of the playbooks in `folder`, sorted; empty when there is no such folder."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml") if _NAME.fullmatch(path.stem)))


def load_playbook(folder: Path, name: str) -> Playbook:
    """The playbook of `folder/<name>.toml`, validated.

    Raises:
        PlaybookError: there is no such playbook (the known ones are listed), or the file is not TOML or does not
            validate (file, field, value and remedy are named).
    """
    path = folder / f"{name}.toml"
    # Every step of a review asks for its playbook: the folder is listed only to say what there is instead.
    if not _NAME.fullmatch(name) or not path.is_file():
        known = list_playbooks(folder)
        # Neither what was given nor where the folder is: this is said to clients too, and enters histories.
        raise PlaybookError(
            "playbook: there is none of this name",
            remedy=f"The playbooks are {', '.join(known)}" if known else "Set COUNTERSIGN_PLAYBOOKS to their folder",
        )
    return _parsed(path, path.read_bytes())


def governed(folder: Path, name: str | None) -> bool:
    """Whether data of the tenant say who signs under this playbook; of one that cannot be read, it must be assumed."""
    try:
        return name is None or load_playbook(folder, name).signing.governed
    except PlaybookError:
        return True


@lru_cache(maxsize=64)
def _parsed(path: Path, content: bytes) -> Playbook:
    """The playbook of a file with this content. Kept, since each step of a review asks for it; edits show at once."""
    try:
        data = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PlaybookError(
            f"{path.name}: is not UTF-8 text (byte {error.start})", remedy="Save it as UTF-8."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise PlaybookError(f"{path.name}: is not TOML: {error}", remedy="Mend the line that is named.") from error
    try:
        playbook = Playbook.model_validate(data)
    except ValidationError as error:
        raise PlaybookError(_explained(path, data, error), remedy=_remedy(error)) from error
    if playbook.name != path.stem:
        raise PlaybookError(
            f"{path.name}: field name: value {playbook.name!r} is not the file's name",
            remedy=f'Write name = "{path.stem}", or rename the file.',
        )
    return playbook


def playbook_digest(playbook: Playbook) -> str:
    """SHA-256 (hex) of the playbook as canonical JSON: equal exactly when every field is equal."""
    canonical = json.dumps(
        playbook.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def _field(data: object, place: tuple[int | str, ...]) -> str:
    """The field as a lawyer finds it: list items by their key ("families[governing_law].severity")."""
    words = ""
    for step in place:
        if isinstance(step, int):
            item = data[step] if isinstance(data, list) and step < len(data) else None
            key = item.get("key") if isinstance(item, dict) else None
            words += f"[{key if isinstance(key, str) else step + 1}]"
            data = item
        else:
            words += f".{step}" if words else step
            data = data.get(step) if isinstance(data, dict) else None
    return words or "the whole file"


def _explained(path: Path, data: object, error: ValidationError) -> str:
    """File, field, what is wrong and the value, for the first mistake; how many more there are."""
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    told = f"{path.name}: field {_field(data, first['loc'])}: {message[:1].lower()}{message[1:]}"
    if first["type"] != "missing" and first["loc"]:
        value = repr(first["input"])
        told += f"; value {value if len(value) <= _SHOWN else value[:_SHOWN] + '…'}"
    more = error.error_count() - 1
    return f"{told} (and {more} more)" if more else told


def _remedy(error: ValidationError) -> str:
    """What to do about the first mistake, by its kind."""
    first = error.errors(include_url=False)[0]
    allowed = first.get("ctx", {}).get("expected")
    match first["type"]:
        case "missing":
            return "Add the field; docs of every field stand in countersign/playbook/model.py."
        case "extra_forbidden":
            return "Remove the field or correct its spelling."
        case "enum" | "literal_error" if allowed:
            return f"Write one of {allowed}."
        case _:
            return "Correct the value and load the playbook again."


def learning_of(folder: Path, name: str) -> Learning:
    """What a playbook says of corrections; the defaults where it is gone: it analyses nothing then, and its corrections
    can still be looked at."""
    try:
        return load_playbook(folder, name).learning
    except PlaybookError:
        return Learning()
