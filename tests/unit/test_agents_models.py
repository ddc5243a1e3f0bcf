"""Models by name: what resolves, what does not and what to do about it, and the fallback chain."""

import sys
from pathlib import Path

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import FallbackExceptionGroup, ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel

from countersign.agents import models
from countersign.agents.models import REQUEST_SETTINGS, check_models, resolve_model
from countersign.agents.offline import OfflineModel
from countersign.errors import ModelConfigurationError

KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "google": "GOOGLE_API_KEY"}
NAMES = {"anthropic": "anthropic:claude-sonnet-4-5", "openai": "openai:gpt-5", "google": "google:gemini-2.5-pro"}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key in the environment, nothing resolved before."""
    for variable in (*KEYS.values(), "GEMINI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    models._resolve.cache_clear()
    models._one.cache_clear()


def test_offline_is_the_offline_model_and_always_the_same_one() -> None:
    model = resolve_model("offline")
    assert isinstance(model, OfflineModel)
    assert resolve_model(("offline",)) is model
    assert (model.model_name, model.system) == ("offline", "countersign")


@pytest.mark.parametrize("provider", KEYS)
def test_a_provider_resolves_once_its_key_is_set(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelConfigurationError) as refused:
        resolve_model(NAMES[provider])
    assert NAMES[provider] in str(refused.value)
    assert KEYS[provider] in refused.value.remedy
    monkeypatch.setenv(KEYS[provider], "not-a-real-key")
    model = resolve_model(NAMES[provider])
    assert NAMES[provider].endswith(model.model_name)


@pytest.mark.parametrize("provider", KEYS)
def test_a_missing_package_is_named_with_its_extra(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = {"anthropic": "anthropic", "openai": "openai", "google": "google.genai"}[provider]
    if provider == "google":  # a namespace package keeps its parts as attributes too
        monkeypatch.delattr("google.genai", raising=False)
    for module in [n for n in sys.modules if n.startswith((f"{package}.", f"pydantic_ai.providers.{provider}"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv(KEYS[provider], "not-a-real-key")
    with pytest.raises(ModelConfigurationError) as refused:
        resolve_model(NAMES[provider])
    assert NAMES[provider] in str(refused.value)
    assert f"pip install 'countersign[{provider}]'" in refused.value.remedy


@pytest.mark.parametrize("name", ["", " , ", "claude", "anthropic:", ":gpt-5", "nobody:nothing", "test"])
def test_what_is_no_model_name_is_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(ModelConfigurationError) as refused:
        resolve_model(name)
    assert refused.value.remedy


@pytest.mark.parametrize("name", ["anthropic:claude-sonnet-4-5, offline", ["anthropic:claude-sonnet-4-5", "offline"]])
def test_several_names_make_a_chain_in_their_order(name: str | list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-real-key")
    model = resolve_model(name)
    assert isinstance(model, FallbackModel)
    assert [inner.model_name for inner in model.models] == ["claude-sonnet-4-5", "offline"]


def test_one_bad_name_in_a_chain_is_refused_when_it_is_resolved() -> None:
    with pytest.raises(ModelConfigurationError, match="nobody:nothing"):
        resolve_model("offline,nobody:nothing")


def test_provider_retries_are_off_and_requests_end() -> None:
    assert REQUEST_SETTINGS["max_retries"] == 0
    assert REQUEST_SETTINGS["request_timeout"] > 0


def test_all_models_are_checked_before_work_begins() -> None:
    folder = Path(__file__).parent.parent / "playbooks"
    check_models("offline", folder)
    with pytest.raises(ModelConfigurationError, match="nonsense"):
        check_models("nonsense", folder)


def _unavailable(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise ModelHTTPError(503, "first")


def _answers(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse(parts=[TextPart("here")])


async def test_a_chain_moves_on_when_a_model_fails_and_says_so_when_all_do() -> None:
    down, up = FunctionModel(_unavailable, model_name="down"), FunctionModel(_answers, model_name="up")
    result = await Agent(FallbackModel(down, up)).run("Hello")
    assert result.output == "here"
    with pytest.raises(FallbackExceptionGroup):
        await Agent(FallbackModel(down, down)).run("Hello")
