"""The provider lab in tests: in a thread of this process, or as a process, through one handle."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from provider_lab.record import Bill, Seen
from provider_lab.script import Rule
from provider_lab.server import Lab
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

LAB = Path(__file__).parent.parent / "provider_lab"
CLAUDE = "claude-sonnet-5"
GPT = "gpt-5-mini"
SOON_S = 30.0
POLL_S = 0.01


@dataclass(frozen=True)
class LabHandle:
    """A running lab, wherever it runs. Everything goes over HTTP, so any thread and process may use it."""

    url: str

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables with which `anthropic:…` and `openai-chat:…` models reach the lab."""
        return {
            "ANTHROPIC_BASE_URL": self.url,
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "ANTHROPIC_API_KEY": "lab",
            "OPENAI_API_KEY": "lab",
        }

    def anthropic(self, name: str = CLAUDE) -> Model:
        """A Claude that is the lab's."""
        return AnthropicModel(name, provider=AnthropicProvider(api_key="lab", base_url=self.url))

    def openai(self, name: str = GPT) -> Model:
        """A model of OpenAI's Chat Completions that is the lab's."""
        return OpenAIChatModel(name, provider=OpenAIProvider(api_key="lab", base_url=f"{self.url}/v1"))

    def script(self, *rules: Rule) -> None:
        """From now on these rules, counted anew."""
        self.post("/lab/script", [rule.model_dump(mode="json", exclude_unset=True) for rule in rules])

    def reset(self) -> None:
        """Forget script, requests, bills and prompt caches."""
        self.post("/lab/reset", None)

    @property
    def requests(self) -> list[Seen]:
        """Every request since the reset, in order."""
        return [Seen.model_validate(row) for row in self.get("/lab/requests")["requests"]]

    @property
    def billed(self) -> list[Bill]:
        """What was sent whole, and so is paid for."""
        return [Bill.model_validate(row) for row in self.get("/lab/billed")["billed"]]

    @property
    def unbilled_partial(self) -> list[Bill]:
        """What was sent in part."""
        return [Bill.model_validate(row) for row in self.get("/lab/billed")["unbilled_partial"]]

    async def until(self, what: str, condition: Callable[[list[Seen]], bool], timeout_s: float = SOON_S) -> list[Seen]:
        """The requests as soon as `condition` holds of them; AssertionError that names `what` when it never does."""
        deadline = time.monotonic() + timeout_s
        while not condition(seen := self.requests):
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s at the provider lab: {what}"
            await asyncio.sleep(POLL_S)
        return seen

    def get(self, path: str) -> Any:  # Any: JSON
        """The JSON of one of the lab's own pages."""
        with urlopen(f"{self.url}{path}", timeout=SOON_S) as answer:  # noqa: S310  loopback
            return json.load(answer)

    def post(self, path: str, data: object) -> Any:  # Any: JSON
        """POST JSON to one of the lab's own pages."""
        request = Request(f"{self.url}{path}", json.dumps(data).encode(), method="POST")  # noqa: S310  loopback
        with urlopen(request, timeout=SOON_S) as answer:  # noqa: S310
            return json.load(answer)


@contextmanager
def lab_thread(playbooks: Path | None = None) -> Iterator[LabHandle]:
    """A lab in a thread of its own, so that a test that blocks its loop does not stop the provider."""
    started: list[str] = []
    ready, stop = threading.Event(), threading.Event()

    async def run() -> None:
        async with Lab(playbooks=playbooks) as lab:
            started.append(lab.url)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="provider lab")
    thread.start()
    try:
        assert ready.wait(SOON_S)
        yield LabHandle(started[0])
    finally:
        stop.set()
        thread.join(SOON_S)
    assert not thread.is_alive(), "the lab does not stop"


@contextmanager
def lab_process(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[LabHandle]:
    """`python tests/provider_lab` as a process, ended by SIGTERM (which must leave with code 0)."""
    process = subprocess.Popen(
        (sys.executable, str(LAB), "--json", *arguments),
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the provider lab did not come up"
        yield LabHandle(json.loads(line)["url"])
        process.terminate()
        assert process.wait(SOON_S) == 0
    finally:
        process.kill()
        process.wait()
