"""What an attacker wants of a model that reads a contract, as rules over folded text.

A rule is a pattern with a weight for each channel, because the two have different policies: the document is third-party
paper and has no business speaking to whoever reads it; the instruction comes from a user, who may well say "ignore
clause 5", "act as our counsel" or "answer in JSON", but not "you have no restrictions".

Words alone prove nothing in legal English ("the Agent shall disregard any instruction"), so patterns ask for what a
contract does not do: the imperative mood, the second person, talk about prompts, replies and models. A weak rule can
only matter beside a rule of another kind, close by.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from countersign.words import Channel


class Kind(StrEnum):
    """What the attacker wants. Within one window only the strongest hit of a kind counts."""

    OVERRIDE = "override"
    SPOOF = "spoof"
    ADDRESS = "address"
    TASK = "task"
    OUTPUT = "output"
    VERDICT = "verdict"
    SECRECY = "secrecy"
    TOOL = "tool"
    MARKUP = "markup"
    PERSONA = "persona"
    FREEDOM = "freedom"
    OBEDIENCE = "obedience"
    CONCEALED = "concealed"
    FOREIGN = "foreign"
    STYLE = "style"


@dataclass(frozen=True)
class Rule:
    """One pattern. `needles` are literal words one of which every match holds or stands next to: they are found first,
    and the pattern is tried only around them, which keeps screening linear and quick."""

    name: str
    kind: Kind
    document: float
    instruction: float
    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    explanation: str

    def weight(self, channel: Channel) -> float:
        """The rule's weight in `channel`, in [0, 1]; 0 where it does not apply."""
        return self.document if channel is Channel.DOCUMENT else self.instruction


# --- building blocks ------------------------------------------------------------------------------------------------

START = (
    r"(?:^|(?<=[\n.!?:;,\"'*>\])(#/|=-])|(?<=\b(?:and|now|you))|(?<=\b(?:must|then|just))|(?<=please)|(?<=simply)"
    r"|(?<=instead)|(?<=assistant)|(?<=kindly)) ?"
)
"""Where an imperative can begin. "shall", "may", "agrees to" in front of a verb make it a contract's own sentence."""
DROP = (
    r"(?:(?:completely|fully|now|just|please|first|totally|immediately) )?(?:ignor(?:e|ing)|disregard|forget|override"
    r"|bypass|discard|overlook|skip|neglect|abandon|dismiss|erase|delete|do ?n[o']t follow|stop following"
    r"|no longer follow|pay no attention to|set aside|do not (?:follow|obey|comply with))"
)
ORDERS = (
    r"(?:i\w{0,3}tru\w{0,2}tions?|prompts?|directions|directives?|guidelines|commands?|programming|training|guardrails"
    r"|context|system messages?|policies|conversation|messages?)"
)
LIMITS = r"(?:rules|constraints?|restrictions?|boundaries|filters?|safe(?:ty|guards?)(?: \w+)?|limit\w*|polic(?:y|ies))"
BEFORE = r"(?:previous|previously|prior|above|earlier|preceding|before|existing|original|initial|past|former|old|your)"
MODEL = (
    r"(?:a\.?i\.?|llms?|(?:large )?language models?|chat ?gpt|gpt(?:-?\w+)?|chat ?bots?|claude|gemini|copilot|llama"
    r"|ai[- ](?:assistants?|agents?|models?|systems?|reviewers?|tools?|bots?))"
)
REPLY = r"(?:answers?|repl(?:y|ies)|responses?|output|summary|completion|analysis|generated text)"


def rule(  # noqa: PLR0913, PLR0917 - a table reads best with one line of facts a rule
    kind: Kind, name: str, document: float, instruction: float, needles: str, pattern: str, explanation: str
) -> Rule:
    """Build a rule: a space in `pattern` matches any white space, and needles are separated by `|`."""
    compiled = re.compile(_PATTERN_TOKEN.sub(_spaces, pattern))
    return Rule(name, kind, document, instruction, tuple(needles.split("|")), compiled, explanation)


_PATTERN_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])+\]| \?| ")


def _spaces(token: re.Match[str]) -> str:
    text = token.group()
    if text[0] == "[":
        return text.replace(" ", r"\s")
    return {" ?": r"\s*", " ": r"\s+"}.get(text, text)
