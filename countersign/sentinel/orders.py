"""Rules for what a text wants done: other instructions, another task, a certain answer or verdict, secrets, tools."""

from countersign.sentinel.rule import BEFORE, DROP, LIMITS, ORDERS, REPLY, START, Kind, Rule, rule

RULES: tuple[Rule, ...] = (
    # --- instructions are to be set aside
    rule(
        Kind.OVERRIDE,
        "override_instructions",
        0.85,
        0.85,
        "ignor|disregard|forget|overrid|bypass|discard|overlook|skip|neglect|abandon|dismiss|erase|delete|follow|attention"
        "|set aside|obey|comply",
        rf"{START}{DROP} (?:\w+ ){{0,4}}?(?:{BEFORE}|any|all|these|those|the|every|following|everything) "
        rf"(?:[\w']+ ){{0,4}}?{ORDERS}\b(?! (?:given|issued|delivered|received|provided) by (?:the|such|any) )",
        "tells the reader to set earlier instructions aside",
    ),
    rule(
        Kind.OVERRIDE,
        "override_limits",
        0.65,
        0.5,
        "ignor|disregard|forget|overrid|bypass|skip|without|follow|obey",
        rf"{START}(?:{DROP}) (?:\w+ ){{0,3}}?(?:{BEFORE}|any|all|these|the|every) (?:\w+ ){{0,2}}?{LIMITS}\b",
        "tells the reader to set its rules aside",
    ),
    rule(
        Kind.OVERRIDE,
        "override_everything",
        0.8,
        0.65,
        "ignor|disregard|forget",
        rf"{START}(?:ignore|disregard|forget) (?:about )?(?:everything|all|anything|what(?:ever)?|the user|the task"
        r"|your|the (?:text|content|document|rest|question)) ?(?:(?:else|that|which|you|above|before|previous\w*|said"
        r"|we|i|was|were|been|have|told|asked|'s|and|task|request|question|discussed|written|so far) ?){1,6}",
        "tells the reader to forget what came before",
    ),
    rule(
        Kind.OVERRIDE,
        "override_translated",
        0.8,
        0.8,
        "instrucc|instruz|istruz|anweisung|instruction|instruc|consigne|instrukc|aanwijzing|指令|指示|提示",
        r"(?:ignor\w{1,5}|olvid\w{1,3}|dimentica\w{0,2}|vergiss|oubli\w{1,3}|missachte|esque[cç]a|negeer|忽略|无视|無視)"
        r"[^.\n]{0,40}?(?:instrucciones|istruzioni|anweisungen|instructions (?:prece|ant)\w+|instrucoes|consignes"
        r"|instructies|指令|指示|提示)",
        "tells the reader, in another language, to set earlier instructions aside",
    ),
    rule(
        Kind.OVERRIDE,
        "override_squeezed",
        0.85,
        0.85,
        "ignore|disregard|forget|override|reveal|system",
        r"(?:ignore|disregard|forget|override)(?:all|any)?(?:of)?(?:the|your|my)?(?:previous|prior|above|earlier"
        r"|system)"
        r"(?:instructions|prompts?|rules|directions|guidelines)|revealyour(?:system)?prompt",
        "holds an order to set instructions aside with its spaces taken out",
    ),
    rule(
        Kind.OVERRIDE,
        "new_instructions",
        0.5,
        0.45,
        "instruction|directive|prompt|orders",
        r"\b(?:(?:your|here are|these are|follow(?:ing)? (?:the|these|my)) (?:new|real|actual|updated|only|true"
        r"|revised)"
        r" |(?:new|updated|real|secret|hidden|priority|urgent|system|admin\w*|override) )"
        r"(?:i\w{0,3}tru\w{0,2}tions?|directives?|prompts?|orders)(?: is| are| ?[:-]|\b(?= ?\n))"
        r"|adhere to the following instruction",
        "announces new instructions",
    ),
    # --- another task
    rule(
        Kind.TASK,
        "assigns_task",
        0.5,
        0.16,
        "task|mission|objective|job is|todo|goal",
        r"\b(?:(?:new|urgent|priority|real|actual|true|secret|important|main|following|only|next) )+(?:task|mission"
        r"|objective|goal)s?\b ?[*:!-]|\byour (?:new |real |only |actual |next |main )*(?:task|mission|objective"
        r"|job|goal)"
        r" (?:now )?(?:is|will be)(?: now)? (?:to\b|:)?|\b(?:been|be) (?:assigned|given) (?:a|this"
        r"|the following) (?:new )?"
        r"task ?:|\bthe mission[^.\n]{0,40}\bis ?:|(?:^|(?<=[\n.;*]))[ ]?todo ?:",
        "gives the reader another task",
    ),
    rule(
        Kind.TASK,
        "special_case",
        0.55,
        0.3,
        "special case|exception|important|urgent",
        r"\bspecial case ?: ?if\b|\b(?:important|urgent|attention) ?!{2,}|\bfor academic purposes, (?:\w+ ){0,3}?"
        r"(?:include|repeat|print|write|add|say)",
        "dresses an order up as an exception or an emergency",
    ),
    rule(
        Kind.TASK,
        "you_must_now",
        0.4,
        0.12,
        "you",
        r"\byou (?:need|have|are required|are going) to(?: do(?: this)?)? ?: |\bi (?:want|need|would like) you to\b"
        r"|\byou must (?:now )?(?:include|say|repeat|output|print|respond|answer|write|reply|append|obey)\b"
        r"|\bfrom now on,? (?:you|we|i)\b|\bdo (?:exactly )?(?:what|as) (?:it|i|this) says?\b",
        "orders the reader about in the second person",
    ),
    # --- what the answer shall say
    rule(
        Kind.OUTPUT,
        "shapes_answer",
        0.4,
        0.08,
        "answer|repl|response|output|summary",
        rf"{START}(?:\w+ )?(?:include|add|append|insert|embed|integrate|incorporate|mention|use|replace|render|write|"
        rf"convert|modify|augment|enhance|begin|start|end|finish|conclude|introduce|provide|rearrange|scramble"
        rf"|group|remove"
        rf"|translate|present|make|put|give|reverse|encode|spell|substitute|highlight|suggest|recommend|promote"
        rf"|state)"
        rf" (?:[^.\n]{{0,90}} )?(?:your|every|each|any) (?:\w+ ){{0,2}}?{REPLY}\b"
        rf"|\bin your {REPLY},",
        "says what the reader's answer shall hold",
    ),
    rule(
        Kind.OUTPUT,
        "exact_string",
        0.55,
        0.3,
        "string|token|phrase|word|sentence|sequence|anchor|exactly|verbatim|just",
        r"\b(?:include|repeat|print|output|append|insert|return|say|write|respond with|reply with|add)\b[^.\n]{0,60}?"
        r"(?:the )?(?:exact|following|exactly this|sequence of|secret)(?: \w+)? ?(?:string|token|phrase|words?"
        r"|sentence|anchor"
        r"|text|code|line)?\b(?=[^.\n]{0,60}(?:[:'\"`{]|times|exactly|verbatim))[^.\n]{0,40}?(?:string|token|phrase"
        r"|words?|"
        r"sentence|anchor|exactly|verbatim)|\bjust (?:say|print|output|write|return) [\"']"
        r"|\bsubstitute \w+ with the string\b|\brepeat it verbatim\b",
        "demands an exact string in the answer",
    ),
    rule(
        Kind.OUTPUT,
        "repeat_many",
        0.55,
        0.2,
        "times",
        r"\brepeat\b[^.\n]{0,80}?\b\d{2,5} times\b",
        "demands that something be repeated many times",
    ),
    rule(
        Kind.VERDICT,
        "forces_verdict",
        0.7,
        0.35,
        "approv|risk|confidence|flag|human_review|human review|finding|issue|compliant|favo|acceptable|requires_",
        r"\b(?:requires?_human_review|risk_?score|key_findings) ?[\"']?(?:=|:| to | must be | should be "
        r"| is ) ?[\"']?(?:false|0|no\b|none|\[\])"
        r"|\bconfidence(?:[ _]score)? ?[\"']?(?:=|:|of|to|at|is|as|must be) ?[\"']?(?:1(?:\.0+)?\b|100 ?%|0?\.9\d*"
        r"|high\b|maximum)"
        r"|\b(?:do not|don't|never|without) (?:flag(?:ging)?|report(?:ing)?|mention(?:ing)?|rais(?:e|ing)"
        r"|list(?:ing)?|escalat(?:e|ing)|highlight)"
        r" (?:\w+ ){0,3}?(?:issues?|findings?|risks?|concerns?|clauses?|problems?|this (?:contract|agreement"
        r"|document))\b(?! (?:to|with|in writing))"
        r"|\b(?:approve|accept|rate|mark|classify|report|treat|label|consider|score) (?:this|the) (?:contract"
        r"|agreement|document|nda|clause)"
        r" (?:as (?:\w+[ -])?(?:approved|safe|low|compliant|acceptable|clean|standard|fair|risk\w*)|immediately"
        r"|automatically|without (?:review|changes|comment|further))"
        r"|\b(?:say|state|conclude|respond|reply|report|answer|output|tell (?:the )?(?:user|reviewer"
        r"|requester)) (?:only )?(?:that )?[\"']?"
        r"(?:(?:this|the) (?:contract|agreement|document)(?: is|'s)|no (?:issues|risks|findings)|approved\b"
        r"|everything is)"
        r"|\b(?:ignore|omit|drop|hide|suppress) (?:all |any |your |the )*(?:findings|issues found|red flags"
        r"|risk findings)\b"
        r"|\bno (?:human|manual) review (?:is )?(?:needed|required|necessary)\b",
        "dictates the verdict of the review",
    ),
    # --- secrets and tools
    rule(
        Kind.SECRECY,
        "reveal_prompt",
        0.8,
        0.7,
        "prompt|instructions|context window|configuration|system message",
        r"\b(?:reveal|show|print|output|repeat|display|disclose|leak|give me|tell me|expose|write out|reproduce|share"
        r"|what (?:is|are|were))\b[^.\n]{0,40}?\b(?:your|the|its) (?:\w+ ){0,2}?(?:system (?:prompt|message"
        r"|instructions)"
        r"|(?:initial|hidden|original|secret|internal|developer|system) (?:prompt|instructions|configuration)"
        r"|prompt\b(?! pay| not)"
        r"|instructions verbatim|context window)",
        "asks for the model's own prompt",
    ),
    rule(
        Kind.SECRECY,
        "conceal",
        0.4,
        0.4,
        "tell the user|inform the user|mention this|secret|do not reveal|let the user|without asking",
        r"\b(?:do not|don't|never|without) (?:tell(?:ing)?|inform(?:ing)?|alert(?:ing)?|notify(?:ing)?|let(?:ting)?"
        r"|ask(?:ing)?)"
        r" (?:the user|me|again|anyone|the (?:human|reviewer))\b|\b(?:do not|don't|never) (?:mention|reveal"
        r"|disclose) (?:this|that|these)"
        r" (?:instruction|message|note|prompt)s?\b",
        "asks the reader to act behind the user's back",
    ),
    rule(
        Kind.SECRECY,
        "exfiltrate",
        0.45,
        0.45,
        "http|www.|@|api key|password|environment variable|externally|slack",
        rf"{START}(?:also |then |next )?(?:send|post|forward|upload|e-?mail|transmit|exfiltrate|concatenate|collect"
        rf"|leak|dump)"
        r" (?!notices?\b)(?:[^.\n]{0,60}?)\b(?:data|customer|list|files?|e-?mails?|messages?|body|contents?|keys"
        r"|conversation|everything"
        r"|transactions?|records?|summary|document|channels?)\b(?:[^\n]{0,60}?)(?:https?:|www\.|[\w.+-]+@[\w-]+\."
        r"|\bexternally\b)"
        r"|\b(?:leak|exfiltrate|collect|reveal|dump|list|print|output|show) (?:me )?(?:the |all |any |your "
        r"|every )+(?:\w+ ){0,4}?"
        r"(?:api keys?|passwords|environment variables|credentials)\b",
        "asks for data to be sent away",
    ),
    rule(
        Kind.TOOL,
        "calls_tool",
        0.65,
        0.35,
        "_email|_file|http_|_post|_tool|_command|delete_|send_|execute|run_|curl |rm -|os.system",
        r"\b(?:call|use|invoke|run|execute|trigger) (?:the )?(?:function |tool )?['\"`]?[a-z]+_[a-z_]+\b"
        r"|\bcurl (?:-\w+ )*https?:|\brm -rf?\b"
        r"|\bos\.system\(|<tool_call>|\"function_call\"",
        "asks for a tool to be called",
    ),
    rule(
        Kind.TOOL,
        "acts_for_user",
        0.5,
        0.08,
        "user|my |asking|memory|skip all",
        r"\bwithout asking (?:me|again|for (?:permission|confirmation))\b|\bmy (?:inbox|calendar|new email"
        r"|cloud drive|bank account)\b"
        r"|\bthe user(?:'s)? (?:has granted|is subscribed|task|request)|\bthe user's (?:\w+ )?(?:transactions"
        r"|messages|files|emails)"
        r"|\bsave (?:this|the following) (?:\w+ )?to (?:your )?memory\b|\bskip all (?:safety )?(?:checks"
        r"|confirmations)\b",
        "asks for acts in the user's name",
    ),
    rule(
        Kind.MARKUP,
        "active_markup",
        0.85,
        0.5,
        "onerror|onload|javascript:|<script|<iframe|![|data:text/html|console.log",
        r"<(?:img|svg|body|iframe|a|input|video|object)\b[^>\n]{0,200}?\b(?:on(?:error|load|click|mouseover) ?="
        r"|javascript:)"
        r"|<svg/onload|<script\b|javascript:\w+[.(]|!\[[^\]\n]{0,60}\]\(https?:[^)\n]{0,200}[?&=][^)\n]{0,120}\)"
        r"|console\.log\(",
        "holds markup that would run or load something when an answer shows it",
    ),
)
