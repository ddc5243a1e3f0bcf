"""Rules for who a text poses as, whom it speaks to, and whom it wants the model to become."""

from countersign.sentinel.rule import MODEL, REPLY, Kind, Rule, rule

RULES: tuple[Rule, ...] = (
    # --- someone else's voice
    rule(
        Kind.SPOOF,
        "chat_template",
        0.9,
        0.75,
        "im_|system|user|assistant|endof|end_|begin_|start_|eot_|sys>|[inst]|[/inst]|</s>",
        r"<\|(?:im_(?:start|end|sep)|system|user|assistant|endoftext|start_header_id|end_header_id|eot_id"
        r"|begin_of_text|endofprompt)\|>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>|</s> ?<s>",
        "uses the control tokens of a chat template",
    ),
    rule(
        Kind.SPOOF,
        "role_heading",
        0.7,
        0.5,
        "system|developer|admin|assistant|root",
        r"(?:^|(?<=[\n.!?]))[ ]?[#*>\[({<=-]{0,6}[ ]?[\[({<#*/]{1,6}[ ]?(?:system|developer|assistant"
        r"|admin(?:istrator)?|root)"
        r"(?:[ _-]?(?:message|note|prompt|override|instructions?|notice|command|mode|update"
        r"|alert))?[ ]?[\])}>*#/]{1,4}"
        r"(?=[ ]?:?[ ]?\w)",
        "writes a heading that poses as the system's or the developer's own message",
    ),
    rule(
        Kind.SPOOF,
        "system_message",
        0.7,
        0.45,
        "system|sistem|developer",
        r"\b(?:system|developer|admin) (?:note|message|prompt|override|instruction|alert|command|update"
        r"|notice) ?(?:to"
        r" \w+ )?[:>\])]|\(?system_message\)|\bnota del sistema\b|\[system\]|\bsystem malfunction\b",
        "poses as a message of the system",
    ),
    rule(
        Kind.SPOOF,
        "conversation_turn",
        0.35,
        0.2,
        "assistant|user|human",
        r"(?:^|\n)[ ]?(?:assistant|user|human|ai)[ ]?:[ ]?\w|\b(?:reasoning|thought)s?(?: trace)? ?\((?:assistant"
        r"|ai|model)\)",
        "poses as a turn of a conversation with a model",
    ),
    rule(
        Kind.SPOOF,
        "end_of_document",
        0.55,
        0.4,
        "end of|end_of",
        r"[-=#*_]{3} ?(?:end[ _]of[ _](?:the )?(?:document|context|input|data|text|prompt|file|contract"
        r"|user \w+)) ?[-=#*_]{2}"
        r"[\s\S]{0,60}?(?:system|instruct|task|user|assistant|ignore|new)",
        "pretends that the document has ended and orders begin",
    ),
    rule(
        Kind.SPOOF,
        "mode_switch",
        0.7,
        0.65,
        "mode",
        r"\b(?:developer|debug|admin|god|dan|jailbreak|maintenance|test|sudo|root|unrestricted|unfiltered|opposite"
        r"|rtm|evil|\w+_override) mode\b(?=[^.\n]{0,80}?(?:\byou\b|:|enabled|activ|respon|restrict))",
        "claims that a special mode is switched on",
    ),
    rule(
        Kind.SPOOF,
        "bypass_token",
        0.5,
        0.2,
        "_override|_bypass|<query>|<command>|<interaction|config>|jailbreak",
        r"<(?:interaction|\w+)-config>|\b\w{2,30}_(?:override|bypass)\b|<command>\w+</command>|\bjail ?break(?:ed"
        r"|ing)?\b",
        "uses a configuration block or token meant to switch rules off",
    ),
    # --- it speaks to a machine
    rule(
        Kind.ADDRESS,
        "addresses_model",
        0.55,
        0.16,
        "ai|llm|language model|gpt|bot|claude|gemini|copilot|llama",
        rf"(?:^|(?<=[\n.:;!?(\[*#>-])|\b(?:dear|hey|hello|attention|hi|note to|note for|instructions? (?:to|for)"
        rf"|notice to|message to|for|to all|to any|if you are|if you're|as)) ?(?:an? |any |all |the |this )?{MODEL}\b"
        r"(?= ?(?:[:!]|,? ?(?:reading|processing|reviewing|analy[sz]ing|summari[sz]ing|parsing|must|should|you\b"
        r"|please|i\b|do not|ignore)))",
        "speaks to an AI model that reads the document",
    ),
    rule(
        Kind.ADDRESS,
        "you_are_model",
        0.6,
        0.16,
        "you",
        rf"\byou(?:'re| are|r)? (?:now |actually |really |being )?(?:operating |acting |simulating |running "
        rf"|become )?(?:as |in )?"
        rf"(?:an? |the |my )?(?:\w+[ -]){{0,4}}?{MODEL}\b(?!-)",
        "tells the reader that it is a model",
    ),
    rule(
        Kind.ADDRESS,
        "reviewing_machine",
        0.5,
        0.16,
        "review|assistant|automated|summari|analys|model|agent",
        r"\b(?:(?:to|for|attention|dear|hey|hello|note to|any|if you are)(?: the| an?| all| any| whichever)? )"
        r"(?:\w+ ){0,2}?(?:automated|automatic|ai|artificial intelligence|virtual|machine|coding|legal) "
        r"(?:\w+ )?(?:reviewers?|assistants?|agents?|systems?|models?|tools?|readers?|analysts?)\b"
        r"(?= ?(?:[:,!)]|who|reading|processing|reviewing|must|should|please|you\b))"
        r"|(?:^|(?<=[\n.!?(\[]))[ ]?(?:reviewer|assistant|model)[ ]?[,:][ ]?(?:please|you|ignore|do not|approve"
        r"|note)",
        "speaks to an automated reviewer",
    ),
    rule(
        Kind.ADDRESS,
        "when_you_process",
        0.5,
        0.12,
        "you",
        r"\b(?:when|while|before|after|if|once) (?:you )?(?:are )?(?:asked|told|instructed|read(?:ing)?"
        r"|process(?:ing)?"
        r"|summari[sz]\w*|analy[sz]\w*|repl(?:y|ying)|respond(?:ing)?|answer(?:ing)?|review(?:ing)?|continu\w+)"
        r"(?: to)? (?:summari[sz]e|review|analy[sz]e|this|the (?:user|input|task|document|question|text)|answer"
        r"|respond|with the task)\b"
        r"|\bbefore you (?:reply|answer|respond|continue)\b|\bif you are told to\b",
        "gives orders for the moment in which the document is read",
    ),
    rule(
        Kind.ADDRESS,
        "speaks_of_reply",
        0.25,
        0,
        "answer|repl|response|output|summary",
        rf"\b(?:your|future|every) (?:next |final |own |future )?{REPLY}\b(?! (?:to|time|from|by|dated"
        rf"|must be received)\b)",
        "speaks of the answer that its reader is going to write",
    ),
    # --- who the model shall become
    rule(
        Kind.PERSONA,
        "persona",
        0.2,
        0.12,
        "act as|acting as|pretend|role ?play|simulate|roleplay|character|persona|immerse|you are|you're|you will be",
        r"\b(?:you (?:are|will|must|should|'re|have to)|going to|want you to|now|please|need to|let's"
        r"|i need you to) (?:now )?(?:going to |about to |be )?"
        r"(?:act(?:ing)?|pretend|role ?-?play(?:ing)?|simulat(?:e|ing)|behave|impersonat\w+|immerse|assume|take on"
        r"|play(?:ing)?)(?: as| to be| like| the role of| yourself)?\b"
        r"|\b(?:stay|remain|keep|be) in (?:the )?character\b|\bbreak(?:ing)? (?:the )?character\b|(?:^|\n"
        r"|\.)[ ]?(?:assume|adopt) the (?:persona|role|identity) of",
        "asks the model to play someone else",
    ),
    rule(
        Kind.PERSONA,
        "do_anything_now",
        0.8,
        0.7,
        "anything now|dan|stan|aim|evil|jailbreak|no limits|do anything",
        r"\b(?:do|make|have|generate) anything now\b|\byou are (?:now )?(?:dan|stan|dude|aim|evilbot"
        r"|\w*dan)\b(?! \w+,? (?:inc|llc))"
        r"|\bno limits ai\b|\bdo anything ai\b|\bact as (?:a )?dan\b|\b\w*dan mode\b",
        "uses a well-known jailbreak",
    ),
    rule(
        Kind.PERSONA,
        "vendor_talk",
        0.15,
        0.2,
        "openai|chatgpt|chat gpt|your knowledge|training data|content polic",
        r"\bopen ?ai\b|\bchat ?gpt\b|\b(?:your )?knowledge (?:is )?cut ?-?off\b|\bcontent polic(?:y|ies)\b",
        "talks about a model's maker or training",
    ),
    rule(
        Kind.FREEDOM,
        "no_restrictions",
        0,
        0.2,
        "restrict|filter|censor|limit|rules|guideline|ethic|moral|constraint|polic|bound|disclaimer|warning",
        r"\b(?:no|without|free (?:of|from)|not (?:bound|limited|restricted|subject|constrained)(?: by| to)?"
        r"|ignores?|disregards?|bypass(?:es)?"
        r"|regardless of|broken? (?:free )?(?:of|from)?|(?:not|n't) (?:have to )?(?:abide|follow|care|obey"
        r"|adhere)(?: by| to| about)?)"
        r" (?:\w+[ ,]+){0,4}?(?:restrictions?|filters?|filtering|censorship|limit(?:s|ations?)|rules|guidelines?"
        r"|ethics|ethical|moral(?:s|ity)?|constraints"
        r"|content polic\w+|disclaimers?)\b",
        "claims that no rules hold for the model",
    ),
    rule(
        Kind.FREEDOM,
        "you_are_free",
        0.55,
        0.35,
        "restrict|filter|censor|limit|rules|guideline|ethic|constraint|polic|bound|exempt",
        r"\byou(?:'re| are| have| can| will| may| must|r)?(?: now| been)? ?(?:\w+ ){0,4}?(?:free (?:of|from)"
        r"|freed from|without|no longer bound by|unrestricted by|exempt from"
        r"|not (?:bound|limited|restricted|subject|constrained|required)(?: to follow)?(?: by| to)?|no"
        r"|disregard(?:ing)?|ignor(?:e|ing)|regardless of) (?:any |all |the |your |such )*(?:\w+ ){0,2}?"
        r"(?:restrictions?|filters?|censorship|limits|limitations|rules|guidelines|ethics|ethical \w+|constraints"
        r"|content polic\w+|boundaries)\b"
        r"|\b(?:safety|content) (?:protocols?|filters?|checks?) (?:are |is |have been )?(?:disabled|off|removed"
        r"|suspended)\b",
        "tells the reader that no rules bind it",
    ),
    rule(
        Kind.FREEDOM,
        "amoral",
        0.1,
        0.2,
        "uncensored|unfiltered|amoral|unethical|immoral|unrestricted|illegal|nsfw|evil|unbiased|explicit",
        r"\b(?:uncensored|unfiltered|unrestrained|unrestricted (?:ai|response|access to all)|amoral|immoral|nsfw"
        r"|jailbroken)\b"
        r"|\b(?:illegal|unethical|immoral|harmful|explicit|offensive),? (?:(?:and|or|&|,) ?)?(?:illegal|unethical"
        r"|immoral|harmful|dangerous|offensive|content)\b",
        "asks for an amoral or uncensored model",
    ),
    rule(
        Kind.OBEDIENCE,
        "never_refuse",
        0.25,
        0.3,
        "refus|comply|apolog|sorry|as an ai|warning|disclaim|obey|always answer|i can't|i cannot|decline",
        r"\b(?:never|cannot|can't|can not|not|without|may not|don't|won't) (?:ever )?(?:refus\w+|declin\w+"
        r"|apologi[sz]\w*|say (?:no|sorry)|deny)\b"
        r"|\bnever say (?:that )?(?:you|i|\"|')|\b(?:not|never|don't) (?:add|include|give|use|send|provide|mention"
        r"|say)[^.\n]{0,30}?(?:warnings?|disclaimers?|as an ai|apolog\w+)\b"
        r"|\byou (?:must|will|shall|should) (?:always )?(?:obey|comply with (?:any|every|all|my) (?:request|prompt"
        r"|question|command)|answer (?:any|every|all))",
        "forbids the model to refuse",
    ),
    rule(
        Kind.OBEDIENCE,
        "model_reasoning",
        0.4,
        0.16,
        "so i ",
        r"\bso i (?:should|will|must|can)(?: now)? (?:proceed|output|append|comply|include|ignore|skip|approve)\b",
        "poses as the model's own reasoning",
    ),
    rule(
        Kind.OBEDIENCE,
        "answer_format",
        0.15,
        0.2,
        "two |prefix|start |respond as|only respond|only reply|reply as|answer as|[prompt|my first|first prompt",
        r"\b(?:two|2) (?:different |separate |distinct )*(?:responses|ways|answers|paragraphs)\b"
        r"|\bprefix (?:\w+ ){0,5}?(?:as|with)\b"
        r"|\b(?:respond|reply|answer)(?:ing)? (?:only )?as [\"'\[]?\w+|\bstart (?:all|every|each|your"
        r"|the)[^.\n]{0,30}?(?:with|by) ?[\"'\[(]|\bmy first (?:prompt|question|request|command|query|task)\b"
        r"|\[(?:insert |your )?prompt(?: here)?\]",
        "sets the form of a jailbroken conversation",
    ),
)
