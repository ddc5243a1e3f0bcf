"""The provider lab of the tests as a child of the stack: a provider that costs nothing and misbehaves by script."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from countersign.errors import ServiceUnavailable
from countersign.settings import ROOT

FOLDER = ROOT / "tests" / "provider_lab"
"""Only a checkout has it; it is no part of an installed package."""
MODELS = "anthropic:claude-sonnet-5,openai-chat:gpt-5-mini"
"""Who answers when the settings name the offline model: one of each wire format, both with a price. `openai:` would be
the Responses API, which the lab does not speak."""
KEYS: Mapping[str, str] = {"ANTHROPIC_API_KEY": "provider-lab", "OPENAI_API_KEY": "provider-lab"}
"""In the place of real keys, which nobody who plays a provider should see."""
_PACKAGES = ("anthropic", "openai", "h11")


def require_lab(folder: Path = FOLDER) -> None:
    """Raises `ServiceUnavailable` when the lab, or what it and its clients run on, is not installed."""
    if not (folder / "__main__.py").is_file():
        raise ServiceUnavailable(
            f"The provider lab is not installed: there is no {folder}",
            remedy="Run `countersign dev --provider-lab` in a checkout of Countersign, or leave the option out",
        )
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ServiceUnavailable(
            f"The provider lab needs packages that are not installed ({', '.join(missing)} missing)",
            remedy="Install 'countersign[anthropic,openai,gateway]', or leave --provider-lab out",
        )


def lab_models(setting: str) -> str:
    """The models of a worker beside the lab: those of the setting, or the lab's own instead of the offline one."""
    return MODELS if setting == "offline" else setting


def worker_environment(url: str, setting: str) -> Mapping[str, str]:
    """Variables with which a worker whose models are `setting` asks the lab at `url`, and no provider."""
    addresses = {"ANTHROPIC_BASE_URL": url, "OPENAI_BASE_URL": f"{url}/v1"}
    return {**addresses, **KEYS, "COUNTERSIGN_MODEL": lab_models(setting)}
