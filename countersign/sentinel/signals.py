"""What an attacker wants of a model that reads a contract, as rules over folded text.

A rule is a pattern with a weight for each channel, because the two have different policies: the document is third-party
paper and has no business speaking to whoever reads it; the instruction comes from a user, who may well say "ignore
clause 5", "act as our counsel" or "answer in JSON", but not "you have no restrictions".

Words alone prove nothing in legal English ("the Agent shall disregard any instruction"), so patterns ask for what a
contract does not do: the imperative mood, the second person, talk about prompts, replies and models. A weak rule can
only matter beside a rule of another kind, close by.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from countersign.sentinel.normalise import View
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


@dataclass(frozen=True)
class Hit:
    """One match: `rule` at `start` to `end` of the original text, counting for `score`."""

    rule: Rule
    start: int
    end: int
    score: float
    encoding: str = ""


_REACH = 200
"""Characters on either side of a needle in which its pattern may match."""


def find(view: View, channel: Channel) -> Iterator[Hit]:
    """Every match of every rule of `channel` in the view, with offsets of the original text."""
    text = view.text
    for rule in RULES:
        weight = rule.weight(channel)
        if weight == 0:
            continue
        for low, high in _neighbourhoods(text, rule.needles):
            for match in rule.pattern.finditer(text, low, high):
                if match.end() > match.start():
                    yield Hit(rule, *view.original(*match.span()), weight)


def _neighbourhoods(text: str, needles: tuple[str, ...]) -> list[tuple[int, int]]:
    places: list[int] = []
    for needle in needles:
        place = text.find(needle)
        while place >= 0:
            places.append(place)
            place = text.find(needle, place + len(needle))
    merged: list[tuple[int, int]] = []
    for place in sorted(places):
        low, high = max(place - _REACH, 0), min(place + _REACH, len(text))
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return merged


# --- building blocks ---------------------------------------------------------------------------------------------------

_START = (
    r"(?:^|(?<=[\n.!?:;,\"'*>\])(#/|=-])|(?<=\b(?:and|now|you))|(?<=\b(?:must|then|just))|(?<=please)|(?<=simply)"
    r"|(?<=instead)|(?<=assistant)|(?<=kindly)) ?"
)
"""Where an imperative can begin. "shall", "may", "agrees to" in front of a verb make it a contract's own sentence."""
_DROP = (
    r"(?:(?:completely|fully|now|just|please|first|totally|immediately) )?(?:ignor(?:e|ing)|disregard|forget|override"
    r"|bypass|discard|overlook|skip|neglect|abandon|dismiss|erase|delete|do ?n[o']t follow|stop following"
    r"|no longer follow|pay no attention to|set aside|do not (?:follow|obey|comply with)|cancel)"
)
_ORDERS = (
    r"(?:i\w{0,3}tru\w{0,2}tions?|prompts?|directions|directives?|guidelines|commands?|programming|training|guardrails"
    r"|context|system messages?|policies|conversation|orders|messages?)"
)
_LIMITS = r"(?:rules|constraints?|restrictions?|boundaries|filters?|safe(?:ty|guards?)(?: \w+)?|limit\w*|polic(?:y|ies))"
_BEFORE = r"(?:previous|previously|prior|above|earlier|preceding|before|existing|original|initial|past|former|old|your)"
_MODEL = (
    r"(?:a\.?i\.?|llms?|(?:large )?language models?|chat ?gpt|gpt(?:-?\w+)?|chat ?bots?|claude|gemini|copilot|llama"
    r"|ai[- ](?:assistants?|agents?|models?|systems?|reviewers?|tools?|bots?))"
)
_REPLY = r"(?:answers?|repl(?:y|ies)|responses?|output|summary|completion|analysis|generated text)"


def _rule(  # noqa: PLR0913 - a table reads best with one line of facts a rule
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


RULES: tuple[Rule, ...] = (
    # --- instructions are to be set aside
    _rule(
        Kind.OVERRIDE, "override_instructions", 0.85, 0.85,
        "ignor|disregard|forget|overrid|bypass|discard|overlook|skip|neglect|abandon|dismiss|erase|delete|follow|attention"
        "|set aside|cancel|obey|comply",
        rf"{_START}{_DROP} (?:\w+ ){{0,4}}?(?:{_BEFORE}|any|all|these|those|the|every|following|everything) "
        rf"(?:[\w']+ ){{0,4}}?{_ORDERS}\b(?! (?:given|issued|delivered|received|provided) by (?:the|such|any) )",
        "tells the reader to set earlier instructions aside",
    ),
    _rule(
        Kind.OVERRIDE, "override_limits", 0.65, 0.5, "ignor|disregard|forget|overrid|bypass|skip|without|follow|obey",
        rf"{_START}(?:{_DROP}) (?:\w+ ){{0,3}}?(?:{_BEFORE}|any|all|these|the|every) (?:\w+ ){{0,2}}?{_LIMITS}\b",
        "tells the reader to set its rules aside",
    ),
    _rule(
        Kind.OVERRIDE, "override_everything", 0.8, 0.65, "ignor|disregard|forget",
        rf"{_START}(?:ignore|disregard|forget) (?:about )?(?:everything|all|anything|what(?:ever)?|the user|the task"
        r"|your|the (?:text|content|document|rest|question)) ?(?:(?:else|that|which|you|above|before|previous\w*|said"
        r"|we|i|was|were|been|have|told|asked|'s|and|task|request|question|discussed|written|so far) ?){1,6}",
        "tells the reader to forget what came before",
    ),
    _rule(
        Kind.OVERRIDE, "override_translated", 0.8, 0.8,
        "instrucc|instruz|istruz|anweisung|instruction|instruc|consigne|instrukc|aanwijzing|指令|指示|提示",
        r"(?:ignor\w{1,5}|olvid\w{1,3}|dimentica\w{0,2}|vergiss|oubli\w{1,3}|missachte|esque[cç]a|negeer|忽略|无视|無視)"
        r"[^.\n]{0,40}?(?:instrucciones|istruzioni|anweisungen|instructions (?:prece|ant)\w+|instrucoes|consignes"
        r"|instructies|指令|指示|提示)",
        "tells the reader, in another language, to set earlier instructions aside",
    ),
    _rule(
        Kind.OVERRIDE, "override_squeezed", 0.85, 0.85, "ignore|disregard|forget|override|reveal|system",
        r"(?:ignore|disregard|forget|override)(?:all|any)?(?:of)?(?:the|your|my)?(?:previous|prior|above|earlier|system)"
        r"(?:instructions|prompts?|rules|directions|guidelines)|revealyour(?:system)?prompt",
        "holds an order to set instructions aside with its spaces taken out",
    ),
    _rule(
        Kind.OVERRIDE, "new_instructions", 0.5, 0.45, "instruction|directive|prompt|orders",
        r"\b(?:(?:your|here are|these are|follow(?:ing)? (?:the|these|my)) (?:new|real|actual|updated|only|true|revised)"
        r" |(?:new|updated|real|secret|hidden|priority|urgent|system|admin\w*|override) )"
        rf"(?:i\w{{0,3}}tru\w{{0,2}}tions?|directives?|prompts?|orders)(?: is| are| ?[:-]|\b(?= ?\n))"
        r"|adhere to the following instruction",
        "announces new instructions",
    ),
    # --- someone else's voice
    _rule(
        Kind.SPOOF, "chat_template", 0.9, 0.75, "<|im_|[inst]|<<sys>>|<|system|<|user|<|assistant|<start_of_turn"
        "|<|start_header|<|endof|<|begin_of|[/inst]|</s>|<|eot_id|<end_of_turn",
        r"<\|(?:im_(?:start|end|sep)|system|user|assistant|endoftext|start_header_id|end_header_id|eot_id"
        r"|begin_of_text|endofprompt)\|>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>|</s> ?<s>",
        "uses the control tokens of a chat template",
    ),
    _rule(
        Kind.SPOOF, "role_heading", 0.7, 0.5, "system|developer|admin|assistant|root",
        r"(?:^|(?<=[\n.!?]))[ ]?[#*>\[({<=-]{0,6}[ ]?[\[({<#*/]{1,6}[ ]?(?:system|developer|assistant|admin(?:istrator)?|root)"
        r"(?:[ _-]?(?:message|note|prompt|override|instructions?|notice|command|mode|update|alert))?[ ]?[\])}>*#/]{1,4}"
        r"(?=[ ]?:?[ ]?\w)",
        "writes a heading that poses as the system's or the developer's own message",
    ),
    _rule(
        Kind.SPOOF, "system_message", 0.7, 0.45, "system|sistem|developer",
        r"\b(?:system|developer|admin) (?:note|message|prompt|override|instruction|alert|command|update|notice) ?(?:to"
        r" \w+ )?[:>\])]|\(?system_message\)|\bnota del sistema\b|\[system\]|\bsystem malfunction\b",
        "poses as a message of the system",
    ),
    _rule(
        Kind.SPOOF, "conversation_turn", 0.35, 0.25, "assistant|user|human",
        r"(?:^|\n)[ ]?(?:assistant|user|human|ai)[ ]?:[ ]?\w|\b(?:reasoning|thought)s?(?: trace)? ?\((?:assistant|ai|model)\)",
        "poses as a turn of a conversation with a model",
    ),
    _rule(
        Kind.SPOOF, "end_of_document", 0.55, 0.4, "end of|begin of|end_of",
        r"[-=#*_]{3,} ?(?:end[ _]of[ _](?:the )?(?:document|context|input|data|text|prompt|file|contract|user \w+)) ?[-=#*_]{2,}"
        r"[^\n]{0,20}\n?[^\n]{0,40}?(?:system|instruct|task|user|assistant|ignore|new)",
        "pretends that the document has ended and orders begin",
    ),
    _rule(
        Kind.SPOOF, "mode_switch", 0.7, 0.65, "mode",
        r"\b(?:developer|debug|admin|god|dan|jailbreak|maintenance|test|sudo|root|unrestricted|unfiltered|opposite"
        r"|rtm|evil|\w+_override) mode\b(?=[^.\n]{0,80}?(?:\byou\b|:|enabled|activ|respon|restrict))",
        "claims that a special mode is switched on",
    ),
    _rule(
        Kind.SPOOF, "bypass_token", 0.5, 0.25, "_override|_bypass|<query>|<command>|<interaction|config>|jailbreak",
        r"<(?:interaction|\w+)-config>|\b\w{2,30}_(?:override|bypass)\b|<command>\w+</command>|\bjail ?break(?:ed|ing)?\b",
        "uses a configuration block or token meant to switch rules off",
    ),
    # --- it speaks to a machine
    _rule(
        Kind.ADDRESS, "addresses_model", 0.55, 0.2, "ai|llm|language model|gpt|bot|claude|gemini|copilot|llama",
        rf"(?:^|(?<=[\n.,:;!?(\[*#>-])|\b(?:dear|hey|hello|attention|hi|note to|note for|instructions? (?:to|for)"
        rf"|notice to|message to|for|to all|to any|if you are|if you're|as)) ?(?:an? |any |all |the |this )?{_MODEL}\b"
        r"(?= ?(?:[:,!)]|reading|processing|reviewing|analy[sz]ing|summari[sz]ing|parsing|must|should|you\b|please))",
        "speaks to an AI model that reads the document",
    ),
    _rule(
        Kind.ADDRESS, "you_are_model", 0.6, 0.2, "you",
        rf"\byou(?:'re| are|r)? (?:now |actually |really |being )?(?:operating |acting |simulating |running |become )?(?:as |in )?"
        rf"(?:an? |the |my )?(?:\w+[ -]){{0,4}}?{_MODEL}\b(?!-)",
        "tells the reader that it is a model",
    ),
    _rule(
        Kind.ADDRESS, "reviewing_machine", 0.5, 0.2, "review|assistant|automated|summari|analys|model|agent",
        r"\b(?:(?:to|for|attention|dear|hey|hello|note to|any|if you are)(?: the| an?| all| any| whichever)? )"
        r"(?:\w+ ){0,2}?(?:automated|automatic|ai|artificial intelligence|virtual|machine|coding|legal) "
        r"(?:\w+ )?(?:reviewers?|assistants?|agents?|systems?|models?|tools?|readers?|analysts?)\b"
        r"(?= ?(?:[:,!)]|who|that|reading|processing|reviewing|must|should|please|you\b))"
        r"|(?:^|(?<=[\n.!?(\[]))[ ]?(?:reviewer|assistant|model)[ ]?[,:][ ]?(?:please|you|ignore|do not|approve|note)",
        "speaks to an automated reviewer",
    ),
    _rule(
        Kind.ADDRESS, "when_you_process", 0.5, 0.15, "you",
        r"\b(?:when|while|before|after|if|once) (?:you )?(?:are )?(?:asked|told|instructed|read(?:ing)?|process(?:ing)?"
        r"|summari[sz]\w*|analy[sz]\w*|repl(?:y|ying)|respond(?:ing)?|answer(?:ing)?|review(?:ing)?|continu\w+)"
        r"(?: to)? (?:summari[sz]e|review|analy[sz]e|this|the (?:user|input|task|document|question|text)|answer|respond|with the task)\b"
        r"|\bbefore you (?:reply|answer|respond|continue)\b|\bif you are told to\b",
        "gives orders for the moment in which the document is read",
    ),
    _rule(
        Kind.ADDRESS, "speaks_of_reply", 0.25, 0, "answer|repl|response|output|summary",
        rf"\b(?:your|future|every) (?:next |final |own |future )?{_REPLY}\b(?! (?:to|time|from|by|dated|must be received)\b)",
        "speaks of the answer that its reader is going to write",
    ),
    # --- another task
    _rule(
        Kind.TASK, "assigns_task", 0.5, 0.2, "task|mission|objective|job is|todo|goal",
        r"\b(?:(?:new|urgent|priority|real|actual|true|secret|important|main|following|only|next) )+(?:task|mission"
        r"|objective|goal)s?\b ?[*:!-]|\byour (?:new |real |only |actual |next |main )*(?:task|mission|objective|job|goal)"
        r" (?:now )?(?:is|will be)(?: now)? (?:to\b|:)?|\b(?:been|be) (?:assigned|given) (?:a|this|the following) (?:new )?"
        r"task ?:|\bthe mission[^.\n]{0,40}\bis ?:|(?:^|(?<=[\n.;*]))[ ]?todo ?:",
        "gives the reader another task",
    ),
    _rule(
        Kind.TASK, "special_case", 0.55, 0.3, "special case|exception|important|urgent",
        r"\bspecial case ?: ?if\b|\b(?:important|urgent|attention) ?!{2,}|\bfor academic purposes, (?:\w+ ){0,3}?"
        r"(?:include|repeat|print|write|add|say)",
        "dresses an order up as an exception or an emergency",
    ),
    _rule(
        Kind.TASK, "you_must_now", 0.4, 0.15, "you",
        r"\byou (?:need|have|are required|are going) to(?: do(?: this)?)? ?: |\bi (?:want|need|would like) you to\b"
        r"|\byou must (?:now )?(?:include|say|repeat|output|print|respond|answer|write|reply|append|obey)\b"
        r"|\bfrom now on,? (?:you|we|i)\b|\bdo (?:exactly )?(?:what|as) (?:it|i|this) says?\b",
        "orders the reader about in the second person",
    ),
    # --- what the answer shall say
    _rule(
        Kind.OUTPUT, "shapes_answer", 0.4, 0.1,
        "answer|repl|response|output|summary",
        rf"{_START}(?:\w+ )?(?:include|add|append|insert|embed|integrate|incorporate|mention|use|replace|render|write|"
        rf"convert|modify|augment|enhance|begin|start|end|finish|conclude|introduce|provide|rearrange|scramble|group|remove"
        rf"|translate|present|make|put|give|reverse|encode|spell|substitute|highlight|suggest|recommend|promote|state)"
        rf" (?:[^.\n]{{0,90}} )?(?:your|every|each|any) (?:\w+ ){{0,2}}?{_REPLY}\b"
        rf"|\bin your {_REPLY},",
        "says what the reader's answer shall hold",
    ),
    _rule(
        Kind.OUTPUT, "exact_string", 0.55, 0.3, "string|token|phrase|word|sentence|sequence|anchor|exactly|verbatim|just",
        r"\b(?:include|repeat|print|output|append|insert|return|say|write|respond with|reply with|add)\b[^.\n]{0,60}?"
        r"(?:the )?(?:exact|following|exactly this|sequence of|secret)(?: \w+)? ?(?:string|token|phrase|words?|sentence|anchor"
        r"|text|code|line)?\b(?=[^.\n]{0,60}(?:[:'\"`{]|times|exactly|verbatim))[^.\n]{0,40}?(?:string|token|phrase|words?|"
        r"sentence|anchor|exactly|verbatim)|\bjust (?:say|print|output|write|return) [\"']"
        r"|\bsubstitute \w+ with the string\b|\brepeat it verbatim\b",
        "demands an exact string in the answer",
    ),
    _rule(
        Kind.OUTPUT, "repeat_many", 0.55, 0.25, "times",
        r"\brepeat\b[^.\n]{0,80}?\b\d{2,5} times\b",
        "demands that something be repeated many times",
    ),
    _rule(
        Kind.VERDICT, "forces_verdict", 0.7, 0.35,
        "approv|risk|confidence|flag|human_review|human review|finding|issue|compliant|favo|acceptable|requires_",
        r"\b(?:requires?_human_review|risk_?score|key_findings) ?[\"']?(?:=|:| to | must be | should be | is ) ?[\"']?(?:false|0|no\b|none|\[\])"
        r"|\bconfidence(?:[ _]score)? ?[\"']?(?:=|:|of|to|at|is|as|must be) ?[\"']?(?:1(?:\.0+)?\b|100 ?%|0?\.9\d*|high\b|maximum)"
        r"|\b(?:do not|don't|never|without) (?:flag(?:ging)?|report(?:ing)?|mention(?:ing)?|rais(?:e|ing)|list(?:ing)?|escalat(?:e|ing)|highlight)"
        r" (?:\w+ ){0,3}?(?:issues?|findings?|risks?|concerns?|clauses?|problems?|this (?:contract|agreement|document))\b(?! (?:to|with|in writing))"
        r"|\b(?:approve|accept|rate|mark|classify|report|treat|label|consider|score) (?:this|the) (?:contract|agreement|document|nda|clause)"
        r" (?:as (?:\w+[ -])?(?:approved|safe|low|compliant|acceptable|clean|standard|fair|risk\w*)|immediately|automatically|without (?:review|changes|comment|further))"
        r"|\b(?:say|state|conclude|respond|reply|report|answer|output|tell (?:the )?(?:user|reviewer|requester)) (?:only )?(?:that )?[\"']?"
        r"(?:(?:this|the) (?:contract|agreement|document)(?: is|'s)|no (?:issues|risks|findings)|approved\b|everything is)"
        r"|\b(?:ignore|omit|drop|hide|suppress) (?:all |any |your |the )*(?:findings|issues found|red flags|risk findings)\b"
        r"|\bno (?:human|manual) review (?:is )?(?:needed|required|necessary)\b",
        "dictates the verdict of the review",
    ),
    # --- secrets and tools
    _rule(
        Kind.SECRECY, "reveal_prompt", 0.8, 0.7, "prompt|instructions|context window|configuration|system message",
        r"\b(?:reveal|show|print|output|repeat|display|disclose|leak|give me|tell me|expose|write out|reproduce|share"
        r"|what (?:is|are|were))\b[^.\n]{0,40}?\b(?:your|the|its) (?:\w+ ){0,2}?(?:system (?:prompt|message|instructions)"
        r"|(?:initial|hidden|original|secret|internal|developer|system) (?:prompt|instructions|configuration)|prompt\b(?! pay| not)"
        r"|instructions verbatim|context window)",
        "asks for the model's own prompt",
    ),
    _rule(
        Kind.SECRECY, "conceal", 0.4, 0.4, "tell the user|inform the user|mention this|secret|do not reveal|let the user|without asking",
        r"\b(?:do not|don't|never|without) (?:tell(?:ing)?|inform(?:ing)?|alert(?:ing)?|notify(?:ing)?|let(?:ting)?|ask(?:ing)?)"
        r" (?:the user|me|again|anyone|the (?:human|reviewer))\b|\b(?:do not|don't|never) (?:mention|reveal|disclose) (?:this|that|these)"
        r" (?:instruction|message|note|prompt)s?\b",
        "asks the reader to act behind the user's back",
    ),
    _rule(
        Kind.SECRECY, "exfiltrate", 0.45, 0.45, "http|www.|@|api key|password|environment variable|externally|slack",
        rf"{_START}(?:also |then |next )?(?:send|post|forward|upload|e-?mail|transmit|exfiltrate|concatenate|collect|leak|dump)"
        r" (?!notices?\b)(?:[^.\n]{0,60}?)\b(?:data|customer|list|files?|e-?mails?|messages?|body|contents?|keys|conversation|everything"
        r"|transactions?|records?|summary|document|channels?)\b(?:[^\n]{0,60}?)(?:https?:|www\.|[\w.+-]+@[\w-]+\.|\bexternally\b)"
        r"|\b(?:leak|exfiltrate|collect|reveal|dump|list|print|output|show) (?:me )?(?:the |all |any |your |every )+(?:\w+ ){0,4}?"
        r"(?:api keys?|passwords|environment variables|credentials)\b",
        "asks for data to be sent away",
    ),
    _rule(
        Kind.TOOL, "calls_tool", 0.65, 0.35, "_email|_file|http_|_post|_tool|_command|delete_|send_|execute|run_|curl |rm -|os.system",
        r"\b(?:call|use|invoke|run|execute|trigger) (?:the )?(?:function |tool )?['\"`]?[a-z]+_[a-z_]+\b|\bcurl (?:-\w+ )*https?:|\brm -rf?\b"
        r"|\bos\.system\(|<tool_call>|\"function_call\"",
        "asks for a tool to be called",
    ),
    _rule(
        Kind.TOOL, "acts_for_user", 0.5, 0.1, "user|my |asking|memory|skip all",
        r"\bwithout asking (?:me|again|for (?:permission|confirmation))\b|\bmy (?:inbox|calendar|new email|cloud drive|bank account)\b"
        r"|\bthe user(?:'s)? (?:has granted|is subscribed|task|request)|\bthe user's (?:\w+ )?(?:transactions|messages|files|emails)"
        r"|\bsave (?:this|the following) (?:\w+ )?to (?:your )?memory\b|\bskip all (?:safety )?(?:checks|confirmations)\b",
        "asks for acts in the user's name",
    ),
    _rule(
        Kind.MARKUP, "active_markup", 0.85, 0.5, "onerror|onload|javascript:|<script|<iframe|![|data:text/html|console.log",
        r"<(?:img|svg|body|iframe|a|input|video|object)\b[^>\n]{0,200}?\b(?:on(?:error|load|click|mouseover) ?=|javascript:)"
        r"|<svg/onload|<script\b|javascript:\w+[.(]|!\[[^\]\n]{0,60}\]\(https?:[^)\n]{0,200}[?&=][^)\n]{0,120}\)|console\.log\(",
        "holds markup that would run or load something when an answer shows it",
    ),
    # --- who the model shall become
    _rule(
        Kind.PERSONA, "persona", 0.4, 0.15, "act as|acting as|pretend|role ?play|simulate|roleplay|character|persona|immerse|you are|you're|you will be",
        r"\b(?:you (?:are|will|must|should|'re|have to)|going to|want you to|now|please|need to|let's|i need you to) (?:now )?(?:going to |about to |be )?"
        r"(?:act(?:ing)?|pretend|role ?-?play(?:ing)?|simulat(?:e|ing)|behave|impersonat\w+|immerse|assume|take on|play(?:ing)?)(?: as| to be| like| the role of| yourself)?\b"
        r"|\b(?:stay|remain|keep|be) in (?:the )?character\b|\bbreak(?:ing)? (?:the )?character\b|(?:^|\n|\.)[ ]?(?:assume|adopt) the (?:persona|role|identity) of",
        "asks the model to play someone else",
    ),
    _rule(
        Kind.PERSONA, "do_anything_now", 0.8, 0.7, "anything now|dan|stan|aim|evil|jailbreak|no limits|do anything",
        r"\b(?:do|make|have|generate) anything now\b|\byou are (?:now )?(?:dan|stan|dude|aim|evilbot|\w*dan)\b(?! \w+,? (?:inc|llc))"
        r"|\bno limits ai\b|\bdo anything ai\b|\bact as (?:a )?dan\b|\b\w*dan mode\b",
        "uses a well-known jailbreak",
    ),
    _rule(
        Kind.PERSONA, "vendor_talk", 0.15, 0.25, "openai|chatgpt|chat gpt|your knowledge|training data|content polic",
        r"\bopen ?ai\b|\bchat ?gpt\b|\b(?:your )?knowledge (?:is )?cut ?-?off\b|\bcontent polic(?:y|ies)\b",
        "talks about a model's maker or training",
    ),
    _rule(
        Kind.FREEDOM, "no_restrictions", 0, 0.25, "restrict|filter|censor|limit|rules|guideline|ethic|moral|constraint|polic|bound|disclaimer|warning",
        r"\b(?:no|without|free (?:of|from)|not (?:bound|limited|restricted|subject|constrained)(?: by| to)?|ignores?|disregards?|bypass(?:es)?"
        r"|regardless of|broken? (?:free )?(?:of|from)?|(?:not|n't) (?:have to )?(?:abide|follow|care|obey|adhere)(?: by| to| about)?)"
        r" (?:\w+[ ,]+){0,4}?(?:restrictions?|filters?|filtering|censorship|limit(?:s|ations?)|rules|guidelines?|ethics|ethical|moral(?:s|ity)?|constraints"
        r"|content polic\w+|disclaimers?)\b",
        "claims that no rules hold for the model",
    ),
    _rule(
        Kind.FREEDOM, "you_are_free", 0.55, 0.35, "restrict|filter|censor|limit|rules|guideline|ethic|constraint|polic|bound|exempt",
        r"\byou(?:'re| are| have| can| will| may| must|r)?(?: now| been)? ?(?:\w+ ){0,4}?(?:free (?:of|from)|freed from|without|no longer bound by|unrestricted by|exempt from"
        r"|not (?:bound|limited|restricted|subject|constrained|required)(?: to follow)?(?: by| to)?|no|disregard(?:ing)?|ignor(?:e|ing)|regardless of) (?:any |all |the |your |such )*(?:\w+ ){0,2}?"
        r"(?:restrictions?|filters?|censorship|limits|limitations|rules|guidelines|ethics|ethical \w+|constraints|content polic\w+|boundaries)\b"
        r"|\b(?:safety|content) (?:protocols?|filters?|checks?) (?:are |is |have been )?(?:disabled|off|removed|suspended)\b",
        "tells the reader that no rules bind it",
    ),
    _rule(
        Kind.FREEDOM, "amoral", 0.15, 0.25, "uncensored|unfiltered|amoral|unethical|immoral|unrestricted|illegal|nsfw|evil|unbiased|explicit",
        r"\b(?:uncensored|unfiltered|unrestrained|unrestricted (?:ai|response|access to all)|amoral|immoral|nsfw|jailbroken)\b"
        r"|\b(?:illegal|unethical|immoral|harmful|explicit|offensive),? (?:(?:and|or|&|,) ?)?(?:illegal|unethical|immoral|harmful|dangerous|offensive|content)\b",
        "asks for an amoral or uncensored model",
    ),
    _rule(
        Kind.OBEDIENCE, "never_refuse", 0.3, 0.3, "refus|comply|apolog|sorry|as an ai|warning|disclaim|obey|always answer|i can't|i cannot|decline",
        r"\b(?:never|cannot|can't|can not|not|without|may not|don't|won't) (?:ever )?(?:refus\w+|declin\w+|apologi[sz]\w*|say (?:no|sorry)|deny)\b"
        r"|\bnever say (?:that )?(?:you|i|\"|')|\b(?:not|never|don't) (?:add|include|give|use|send|provide|mention|say)[^.\n]{0,30}?(?:warnings?|disclaimers?|as an ai|apolog\w+)\b"
        r"|\byou (?:must|will|shall|should) (?:always )?(?:obey|comply with (?:any|every|all|my) (?:request|prompt|question|command)|answer (?:any|every|all))",
        "forbids the model to refuse",
    ),
    _rule(
        Kind.OBEDIENCE, "model_reasoning", 0.4, 0.2, "so i ",
        r"\bso i (?:should|will|must|can)(?: now)? (?:proceed|output|append|comply|include|ignore|skip|approve)\b",
        "poses as the model's own reasoning",
    ),
    _rule(
        Kind.OBEDIENCE, "answer_format", 0.15, 0.25, "two |prefix|start |respond as|only respond|only reply|reply as|answer as|[prompt|my first|first prompt",
        r"\b(?:two|2) (?:different |separate |distinct )*(?:responses|ways|answers|paragraphs)\b|\bprefix (?:\w+ ){0,5}?(?:as|with)\b"
        r"|\b(?:respond|reply|answer)(?:ing)? (?:only )?as [\"'\[]?\w+|\bstart (?:all|every|each|your|the)[^.\n]{0,30}?(?:with|by) ?[\"'\[(]|\bmy first (?:prompt|question|request|command|query|task)\b"
        r"|\[(?:insert |your )?prompt(?: here)?\]",
        "sets the form of a jailbroken conversation",
    ),
)

CONCEALED = _rule(
    Kind.CONCEALED, "concealed", 0.6, 0.45, "", "", "hides the words of another signal from the reader's eye"
)
"""Added by the screen to hits in encoded or invisible text."""

HIDDEN_ORDER = _rule(
    Kind.TASK,
    "hidden_order",
    0.45,
    0.3,
    "",
    r"\b(?:ignore|approve|accept|say|report|mark|rate|classify|output|respond|reply|answer|do not|don't|never|always"
    r"|you must|summari[sz]e|tell|send|delete|skip|recommend) (?:\w+ ){0,3}?(?:this|that|the|any|all|as|only|it|no|with)\b",
    "gives an order in text that a reader cannot see",
)
"""Tried by the screen on invisible text only."""

FOREIGN = _rule(
    Kind.FOREIGN, "foreign_passage", 0.35, 0, "", "", "holds a passage in another language than the rest, which the rules cannot judge"
)
"""Added by the screen to a sentence that is not English in a document that is."""
