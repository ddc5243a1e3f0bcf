"""A step whose models may not be asked waits before it has loaded anything of the document."""

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from helpers.stack import TEST_PLAYBOOKS
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.agents import Team
from countersign.agents.deps import AgentDeps
from countersign.breaker.words import State
from countersign.document.model import DocumentText
from countersign.services import Services
from countersign.settings import Settings


@pytest.mark.parametrize("agent", ["intent", "sentinel", None])
async def test_the_circuit_is_asked_before_the_document_is_loaded(
    agent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OpenAIChatModel("m", provider=OpenAIProvider(api_key="none"))
    monkeypatch.setattr("activities.agents.resolve_model", lambda *_: model)
    monkeypatch.setattr("activities.agents.resolve_sentinel", lambda *_: model)
    closed = SimpleNamespace(wait_s=20.0, state=State.OPEN)
    services: Any = SimpleNamespace(
        door=SimpleNamespace(renew=AsyncMock()),
        circuits=SimpleNamespace(look=AsyncMock(return_value=closed)),
        documents=SimpleNamespace(get_text=AsyncMock(return_value=DocumentText(text="", pages=()))),
        settings=Settings(playbooks=TEST_PLAYBOOKS),
    )
    key, document = SimpleNamespace(tenant="t", review_id="r"), SimpleNamespace(document_id="d")
    admission: Any = SimpleNamespace(key=key, playbook="lenient", model=None, sentinel_model="", document=document)
    begun = ActivityEnvironment().run(Team(cast(Services, services)).deps, admission, agent)
    if agent is None:
        assert isinstance(await begun, AgentDeps), "nobody is to be asked"
    else:
        with pytest.raises(ApplicationError) as waits:
            await begun
        assert (waits.value.type, waits.value.non_retryable) == ("CircuitOpen", False)
        assert waits.value.next_retry_delay is not None
    assert services.documents.get_text.await_count == (agent is None)
    services.door.renew.assert_awaited_once()
