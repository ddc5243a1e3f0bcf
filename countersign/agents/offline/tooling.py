"""What the offline specialist asks its tools, which effects it proposes, and what it makes of the answers.

It asks where a clause gives something to check: a reference to follow, a number said twice, a period to reckon. It
proposes to record what a clause plainly obliges somebody to do within a time.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolReturnPart

from countersign.agents.offline.facts import facts
from countersign.agents.offline.request import Prompt
from countersign.agents.outputs import SpecialistFindings
from countersign.review.payloads import DraftFinding
from countersign.tools import names
from countersign.tools.checks import check_numbers, period_in
from countersign.tools.reading import references_in, terms_in

MOST_OF_A_KIND = 2
"""A run asks each tool at most as often, and proposes at most as many effects."""
DUTIES = {
    "payment_terms": "payment",
    "renewal_term": "renewal",
    "notice_period_to_terminate_renewal": "notice",
    "return_or_destruction": "return",
    "notification_of_breach": "notice",
    "insurance": "report",
}
"""Clause families that oblige somebody to do something in time, and the kind of obligation."""
_ATTACHMENTS = ("Schedule", "Exhibit", "Annex", "Appendix")
_TEXT_CHARS = 1_500
_DUTY_CHARS = 300

Question = tuple[str, dict[str, Any]]
"""A tool and its arguments."""


def questions(prompt: Prompt, findings: SpecialistFindings, offered: frozenset[str]) -> tuple[Question, ...]:
    """All that a run wants of its tools, in one go: only tools that are offered, each at most twice."""
    asked: list[Question] = []
    counts: dict[str, int] = {}

    def ask(tool: str, args: dict[str, Any]) -> None:
        if tool in offered and (tool, args) not in asked and counts.get(tool, 0) < MOST_OF_A_KIND:
            counts[tool] = counts.get(tool, 0) + 1
            asked.append((tool, args))

    for finding in findings.findings:
        for quote in (quote[:_TEXT_CHARS] for quote in finding.quotes[:1]):
            for reference in references_in(quote):
                ask(names.RESOLVE_REFERENCE, {"reference": reference})
            if check_numbers(quote)["checked"]:
                ask(names.CHECK_NUMBER, {"text": quote})
            if finding.clause in DUTIES and period_in(_timed(quote)):
                ask(names.CHECK_DATE, {"text": _timed(quote), "before": " before " in quote})
                ask(names.RECORD_OBLIGATION, _obligation(prompt, finding, quote))
            for term in terms_in(quote)[:1]:
                ask(names.RESOLVE_TERM, {"term": term})
    return tuple(asked)


def _obligation(prompt: Prompt, finding: DraftFinding, quote: str) -> dict[str, Any]:
    title = next(family.title for family in prompt.families if family.key == finding.clause)
    count, unit = period_in(_timed(quote)) or (0, "day")
    stated = "; ".join(facts(quote)) or quote
    return {
        "kind": DUTIES[finding.clause],
        "clause": finding.clause,
        "duty": f"{title}: {stated}"[:_DUTY_CHARS],
        "quote": quote,
        "period": f"{count} {unit}{'s' if count != 1 else ''}",
    }


def _timed(quote: str) -> str:
    """The clause from where it says how long at least; a renewal clause first says for how long it renews."""
    at = quote.find("at least")
    return quote[at:] if at >= 0 and period_in(quote[at:]) else quote


def with_answers(findings: SpecialistFindings, messages: Sequence[ModelMessage]) -> SpecialistFindings:
    """The findings with what the tools found wrong; a finding that nothing is wrong with stays as it is."""
    remarks = [(quote, remark) for quote, remark in _remarks(messages) if remark]
    if not remarks:
        return findings
    return findings.model_copy(
        update={
            "findings": tuple(
                finding.model_copy(update={"statement": " ".join((finding.statement, *wrong))})
                if (wrong := tuple(dict.fromkeys(r for q, r in remarks if any(q in quote for quote in finding.quotes))))
                else finding
                for finding in findings.findings
            )
        }
    )


def _remarks(messages: Sequence[ModelMessage]) -> list[tuple[str, str]]:
    """(words of the clause, what is wrong there) for each answer of a tool."""
    calls = {
        call.tool_call_id: call.args_as_dict()
        for message in messages
        if isinstance(message, ModelResponse)
        for call in message.tool_calls
    }
    remarks: list[tuple[str, str]] = []
    for message in messages:
        for part in message.parts if isinstance(message, ModelRequest) else ():
            if not isinstance(part, ToolReturnPart) or not isinstance(part.content, dict):
                continue
            given, answer = calls.get(part.tool_call_id, {}), dict(part.content)
            match part.tool_name:
                case names.CHECK_NUMBER if answer.get("agree") is False:
                    said = "; ".join(str(pair["said"]) for pair in answer["numbers"] if not pair["agree"])
                    remarks.append((str(given.get("text")), f"Words and figures disagree: {said}."))
                case names.CHECK_DATE if answer.get("impossible"):
                    remarks.append((str(given.get("text")), f"No such date: {'; '.join(answer['impossible'])}."))
                case names.RESOLVE_REFERENCE if answer.get("found") is False:
                    reference = str(given.get("reference"))
                    # A part with a number may be there without a heading; an attachment that is not found is missing.
                    if reference.startswith(_ATTACHMENTS):
                        remarks.append((reference, f"It refers to {reference}, which was not found in this document."))
    return remarks


class Drafts:
    """Findings between a run's two requests, so that a long contract is not searched twice. Losing one costs time."""

    MOST = 16

    def __init__(self) -> None:
        self._drafts: OrderedDict[bytes, SpecialistFindings] = OrderedDict()
        self._lock = threading.Lock()

    def kept(self, prompt: str, findings: SpecialistFindings) -> SpecialistFindings:
        """`findings`, kept until they are taken or many others came after them."""
        with self._lock:
            self._drafts[_key(prompt)] = findings
            while len(self._drafts) > self.MOST:
                self._drafts.popitem(last=False)
        return findings

    def taken(self, prompt: str) -> SpecialistFindings | None:
        """What was kept for this prompt, if it still is."""
        with self._lock:
            return self._drafts.pop(_key(prompt), None)


def _key(prompt: str) -> bytes:
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
