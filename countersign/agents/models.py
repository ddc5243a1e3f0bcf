"""Models by name: `offline`, `anthropic:…`, `openai:…`, `google:…`, or several as a fallback chain."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.settings import ModelSettings

from countersign.agents.offline import OfflineModel
from countersign.errors import ModelConfigurationError
from countersign.playbook.load import list_playbooks, load_playbook
from countersign.settings import Settings

OFFLINE = "offline"
SENTINEL = "sentinel"
"""The sentinel agent's key in a playbook's `[models]`."""

REQUEST_SETTINGS = ModelSettings(max_retries=0, request_timeout=300.0)
"""For every request of every agent: the provider SDK does not retry (Temporal and the fallback chain do), and a request
that takes longer than five minutes is given up."""

_KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "google": "GOOGLE_API_KEY",
}


def resolve_model(name: str | Sequence[str], playbooks: Path | None = None) -> Model:
    """The model of this name; "a,b" or a sequence gives a chain that moves on when a model's API fails.

    The same names give the same object. Nothing is sent anywhere. `playbooks` is the folder the offline model reads
    playbooks from, by default that of the settings.

    Raises:
        ModelConfigurationError: a name is unknown, its provider's package is not installed or its key is not set.
    """
    names = name.split(",") if isinstance(name, str) else list(name)
    return _resolve(tuple(part.strip() for part in names), playbooks or Settings().playbooks)


def resolve_sentinel(name: str | Sequence[str], playbooks: Path | None = None) -> Model:
    """The sentinel agent's model. Raises as `resolve_model` does, and for `offline`, which has nothing to add."""
    names = name.split(",") if isinstance(name, str) else name
    if any(part.strip() == OFFLINE for part in names):
        raise ModelConfigurationError(
            f"sentinel model {name!r}: {OFFLINE!r} is no language model and cannot judge a text",
            remedy="Name a provider's model, or none: patterns and the statistical scorer screen every review anyway.",
        )
    return resolve_model(name, playbooks)


def check_models(setting: str, playbooks: Path, sentinel: str | None = None) -> None:
    """Resolve the settings' models and every model a playbook names. Raises as `resolve_model` does, or PlaybookError.

    Done where a process starts: a wrong name would otherwise show only as reviews in which no agent answers.
    """
    resolve_model(setting, playbooks)
    if sentinel is not None:
        resolve_sentinel(sentinel, playbooks)
    for name in list_playbooks(playbooks):
        for agent, chain in load_playbook(playbooks, name).models.items():
            (resolve_sentinel if agent == SENTINEL else resolve_model)(chain, playbooks)


@cache
def _resolve(names: tuple[str, ...], playbooks: Path) -> Model:
    if not any(names):
        raise ModelConfigurationError("no model is named", remedy=f"Set COUNTERSIGN_MODEL, for example to {OFFLINE!r}.")
    models = [_one(name, playbooks) for name in names]
    return models[0] if len(models) == 1 else FallbackModel(models[0], *models[1:])


@cache
def _one(name: str, playbooks: Path) -> Model:
    if name == OFFLINE:
        return OfflineModel(partial(load_playbook, playbooks))
    provider, _, model = name.partition(":")
    if not provider or not model:
        raise ModelConfigurationError(
            f"model {name!r} is not a model name", remedy=f"Write {OFFLINE!r} or provider:model, as in 'anthropic:…'."
        )
    try:
        return infer_model(name)
    except ImportError as error:
        extra = f"countersign[{provider}]" if provider in _KEYS else f"pydantic-ai-slim[{provider}]"
        raise ModelConfigurationError(
            f"model {name!r} needs a package that is not installed", remedy=f"Run: pip install '{extra}'."
        ) from error
    except UserError as error:
        raise ModelConfigurationError(f"model {name!r} cannot be used", remedy=_remedy(provider, error)) from error


def _remedy(provider: str, error: UserError) -> str:
    """What to do about pydantic-ai's refusal. Its own words, which name a key's variable, only for rarer providers."""
    if key := _KEYS.get(provider):
        return f"Set {key} in the worker's environment."
    first, _, _ = str(error).partition(". ")
    return f"{first.rstrip('.')}. Known here: {OFFLINE}, {', '.join(f'{known}:…' for known in _KEYS)}."
