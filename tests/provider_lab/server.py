"""The lab: routes, rules applied, everything remembered. Binds to loopback only."""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from countersign.agents import outputs
from countersign.settings import Settings
from provider_lab.answers import Answers, NoAnswerError
from provider_lab.connection import Exchange, GoneError, Request, serve
from provider_lab.record import TEXT_KEPT, Bill, Memory, Outcome, Seen
from provider_lab.script import Facts, Rule, Script, rules_from_json
from provider_lab.wire import OWN_CALL, Ask, BadRequestError, Piece, Reply, Wire, in_pieces
from provider_lab.wire_anthropic import Anthropic
from provider_lab.wire_openai import OpenAI

HOST = "127.0.0.1"
BODY_PIECES = 8
"""A body that is no stream goes out in so many pieces."""
WIRES: Mapping[str, Wire] = {"/v1/messages": Anthropic(), "/v1/chat/completions": OpenAI()}
AGENTS = {
    outputs.INTENT_TOOL: "intent",
    outputs.PLAN_TOOL: "plan",
    outputs.FINDINGS_TOOL: "specialist",
    outputs.SYNTHESIS_TOOL: "reconcile",
}
_REFUSALS = ("error", "overflow", "quota")
_BROKEN_STREAMS: Mapping[str, bytes] = {
    "invalid_json": b'event: content_block_delta\ndata: {"type": "content_block_delta", "ind\n\n',
    "malformed_sse": b"<html><body><h1>502 Bad Gateway</h1></body></html>\n\n\x00\xff: :\n\n",
}


class Lab:
    """One lab, an asynchronous context manager.

    `script`, `requests`, `billed`, `unbilled_partial` may be used from the loop it runs in; others use HTTP.
    """

    def __init__(self, *, port: int = 0, playbooks: Path | None = None, rules: Sequence[Rule] = ()) -> None:
        self.memory = Memory()
        self.rules = Script(rules)
        self._port = port
        self._answers = Answers(playbooks or Settings().playbooks)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Lab":
        self._server = await asyncio.start_server(self._connected, HOST, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends every connection, those that hang too."""
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The lab's address."""
        return f"http://{HOST}:{self._port}"

    def script(self, *rules: Rule) -> None:
        """From now on these rules, counted anew."""
        self.rules = Script(rules)

    def reset(self) -> None:
        """Forget script, requests, bills and prompt caches."""
        self.rules, self.memory = Script(), Memory()
        self._answers.forget()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await serve(reader, writer, self._handle)
        except asyncio.CancelledError:
            writer.transport.abort()  # the lab stops; the task ends well, or asyncio would report it
        finally:
            self._connections.discard(task)

    async def _handle(self, request: Request, exchange: Exchange) -> None:
        wire = WIRES.get(request.path)
        if wire is not None and request.method == "POST":
            await self._provide(wire, request.body, exchange)
        else:
            await exchange.respond(*self._control(request))

    def _control(self, request: Request) -> tuple[int, object]:
        """(status, JSON) of the lab's own routes."""
        memory = self.memory
        match request.method, request.path:
            case "GET", "/lab":
                shown: dict[str, Any] = {"requests": len(memory.requests), "rules": len(self.rules.rules)}
            case "GET", "/lab/requests":
                shown = {"requests": _rows(memory.requests)}
            case "GET", "/lab/billed":
                shown = {"billed": _rows(memory.billed), "unbilled_partial": _rows(memory.unbilled_partial)}
            case "GET", "/lab/script":
                shown = {"rules": self.rules.shown()}
            case "POST", "/lab/script":
                return self._take(request.body)
            case "POST", "/lab/reset":
                self.reset()
                shown = {}
            case _:
                message = f"The lab serves {', '.join(WIRES)} (POST) and /lab/…; for OpenAI name models openai-chat:…"
                return 404, {"error": {"message": message, "type": "invalid_request_error", "code": None}}
        return 200, shown

    def _take(self, body: bytes) -> tuple[int, object]:
        try:
            self.script(*rules_from_json(body))
        except ValidationError as error:
            return 422, {"problems": error.errors(include_url=False, include_context=False, include_input=False)}
        return 200, {"rules": len(self.rules.rules)}

    async def _provide(self, wire: Wire, body: bytes, exchange: Exchange) -> None:
        request_id = f"req_{uuid.uuid4().hex}"
        try:
            ask = wire.ask(_object(body))
        except BadRequestError as error:
            refusal = wire.bad_request(str(error), request_id)
            await exchange.respond(refusal.status, refusal.body, {wire.request_header: request_id})
            return
        memory = self.memory
        rule, seen = self._note(wire, ask, request_id)
        turn = _Turn(wire, ask, rule, seen, exchange)
        bill: Bill | None = None
        try:
            if rule.do == "hang":
                await exchange.hold(rule.hold_s)
            await exchange.hold(rule.delay_s)
            if rule.do == "cut" and rule.after == 0:
                exchange.cut(reset=rule.reset)
                memory.end(seen, "cut")
                return
            if rule.do in _REFUSALS:
                await turn.refuse()
                memory.end(seen, "refused")
                return
            parts, is_own = await self._answers.parts(ask, rule)
            cost = self._answers.cost(wire.provider, ask, rule, parts)
            ids = tuple(_call_id(wire.provider, is_own=is_own) for _ in parts)
            response_id = f"{'msg_' if wire.provider == 'anthropic' else 'chatcmpl-'}{uuid.uuid4().hex[:24]}"
            told = rule.told_usage or cost
            created = int(datetime.now(UTC).timestamp())
            reply = Reply(request_id, response_id, ask.model, parts, ids, told, created)
            bill = Bill(
                request_id=request_id,
                response_id=response_id,
                provider=wire.provider,
                model=ask.model,
                tokens=cost,
                told=told,
            )
            memory.end(seen, await turn.answer(reply, cost.output), bill)
        except NoAnswerError as error:
            refusal = wire.bad_request(str(error), request_id)
            seen.status = refusal.status
            memory.end(seen, "refused")
            await exchange.respond(refusal.status, refusal.body, {wire.request_header: request_id})
        except GoneError:
            memory.end(seen, "abandoned", bill)
            raise
        finally:
            memory.end(seen, "cut", bill)  # for one that is open still: the lab stops

    def _note(self, wire: Wire, ask: Ask, request_id: str) -> tuple[Rule, Seen]:
        """Choose the rule and remember the request."""
        number = self.memory.next_number()
        text = ask.last_user_text
        facts = Facts(
            number=number,
            provider=wire.provider,
            model=ask.model,
            agent=next((AGENTS[tool] for tool in ask.offered if tool in AGENTS), ""),
            tools=ask.offered,
            text=text,
            stream=ask.stream,
        )
        place, rule = self.rules.choose(facts)
        seen = Seen(
            **facts.model_dump(exclude={"text"}),
            request_id=request_id,
            prompt_sha256=hashlib.sha256(ask.counted.encode("utf-8", "surrogatepass")).hexdigest(),
            last_user_text=text[-TEXT_KEPT:],
            responses_before=ask.responses,
            rule=place,
            did=rule.do,
            at=datetime.now(UTC),
        )
        self.memory.requests.append(seen)
        return rule, seen


class _Turn:
    """One request being answered on the wire."""

    def __init__(self, wire: Wire, ask: Ask, rule: Rule, seen: Seen, exchange: Exchange) -> None:
        self._wire = wire
        self._ask = ask
        self._rule = rule
        self._seen = seen
        self._exchange = exchange
        self._headers = {wire.request_header: seen.request_id}

    async def refuse(self) -> None:
        """An error status with the provider's body."""
        refusal = self._wire.refusal(self._rule, self._ask.model, self._seen.request_id)
        headers = dict(self._headers)
        if (wait := self._rule.retry_after_s) is not None:
            moment = format_datetime(datetime.now(UTC) + timedelta(seconds=wait), usegmt=True)
            headers["retry-after"] = moment if self._rule.retry_after_as == "date" else f"{wait:g}"
        self._seen.status = refusal.status
        await self._exchange.respond(refusal.status, refusal.body, headers)

    async def answer(self, reply: Reply, output: int) -> Outcome:
        """Send the answer as far as the rule lets it; the outcome."""
        pieces, length = self._pieces(reply, output)
        kind = "application/json" if length is not None else "text/event-stream; charset=utf-8"
        self._seen.status = 200
        await self._exchange.start(200, {"content-type": kind, **self._headers}, length=length)
        turning = min(max(1, int(len(pieces) * self._rule.after)), len(pieces) - 1)
        for place, piece in enumerate(pieces):
            if place == turning and (outcome := await self._turn()) is not None:
                return outcome
            if place and self._rule.pause_s:
                await self._exchange.hold(self._rule.pause_s)
            await self._exchange.send(piece.data)
            self._seen.tokens_sent += piece.tokens
        await self._exchange.end()
        return "broken" if self._rule.do in _BROKEN_STREAMS else "answered"

    def _pieces(self, reply: Reply, output: int) -> tuple[list[Piece], int | None]:
        """(what is sent, its length unless it is a stream)."""
        if self._ask.stream:
            return list(self._wire.events(reply, self._ask, self._rule.chunk_chars)), None
        data = json.dumps(self._wire.body(reply), ensure_ascii=False).encode()
        if self._rule.do in _BROKEN_STREAMS:
            data = data[: len(data) // 2]  # whole for HTTP, not for JSON
        return list(in_pieces(data, output, BODY_PIECES)), len(data)

    async def _turn(self) -> Outcome | None:
        """The middle of the answer: what goes wrong there, and the outcome when that is its end."""
        rule = self._rule
        if rule.do == "stall":
            await self._hold()
        elif rule.do == "cut":
            self._exchange.cut(reset=rule.reset)
            return "cut"
        elif rule.do == "truncate" and self._ask.stream:
            await self._exchange.end()
            return "broken"
        elif rule.do == "error_in_stream" and self._ask.stream:
            await self._exchange.send(self._wire.error_event(self._seen.request_id))
            await self._exchange.end()
            return "broken"
        elif rule.do in _BROKEN_STREAMS and self._ask.stream:
            await self._exchange.send(_BROKEN_STREAMS[rule.do])
            await self._exchange.end()
            return "broken"
        return None

    async def _hold(self) -> None:
        """Hold, with pings when the script wants them."""
        rule, clock = self._rule, asyncio.get_running_loop()
        end = None if rule.hold_s is None else clock.time() + rule.hold_s
        while end is None or clock.time() < end:
            left = None if end is None else end - clock.time()
            if rule.ping_s is None or not self._ask.stream:
                await self._exchange.hold(left)
                continue
            await self._exchange.hold(rule.ping_s if left is None else min(left, rule.ping_s))
            await self._exchange.send(self._wire.ping)


def _rows(models: Iterable[BaseModel]) -> list[Any]:
    return [model.model_dump(mode="json") for model in models]


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError as error:
        raise BadRequestError("the body is no JSON") from error
    if not isinstance(data, dict):
        raise BadRequestError("the body is no JSON object")
    return data


def _call_id(provider: str, *, is_own: bool) -> str:
    kind = OWN_CALL if is_own else "lab_script"
    return f"{'toolu' if provider == 'anthropic' else 'call'}_{kind}_{uuid.uuid4().hex[:16]}"
