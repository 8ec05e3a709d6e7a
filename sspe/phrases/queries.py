"""What people type into a search box, without the words that say nothing about the photo.

    description_in("Can you find the red cup please?")   # "             the red cup       ?"
    description_in("1. cat 2. dog")                      # "   cat ,  dog"
    description_in("a photo of a dog")                   # "           a dog"

Every character that goes becomes a space or a comma, so that the description is as long as the query and its offsets
are the query's. A caption holds nothing of the kind and comes back as it is.

To teach it a new way of asking, add a line to `_OPENINGS`, and queries that need it to tests/phrases/queries.tsv.
"""

from __future__ import annotations

import re

from sspe.phrases.spelling import QUESTION_SLIPS, slips
from sspe.phrases.tokens import plain_apostrophes

_PICTURE = r"(?:photo(?:graph)?|picture|pic|image|img|snapshot|screenshot|selfie)s?"
_LOOK = r"(?:black[ -]and[ -]white|colou?r|old|vintage|nice|beautiful|blurry|funny|cute|recent|single)"
_FEATURE = r"(?:colou?r|size|shape|breed|brand|make|model|name|age|gender|material|species|kind|type|sort)"
_IS = r"(?:is|are|was|were|am|do|does|did|can|could|has|have|will|should)"
_WE = r"(?:i|we|you|u)"
_NAMED = r"(?=(?:an?|the|this|that|these|those|my|your|his|her|its|our|their|all|any|every|each|both|me|us)\b)"

_SLIP = "|".join(
    sorted(
        slip
        for word in ("detect", "find", "highlight", "locate", "please", "search", "select", "show")
        for slip in slips(word)
    )
)

# Ways to begin that describe nothing; as many are taken off the front of a sentence as stand there.
_OPENINGS = (
    # Manners
    r"(?:hi|hey|hello|ok|okay|yes|yeah|yep|no|oh|well|so|sorry|help)(?=\s*(?:[,.!]|$))[,.!]?",
    r"(?:hi|hey|hello|ok|okay) (?:siri|google|alexa|computer|there|guys|everyone|all)(?=[\s,.!])[,.!]?",
    r"(?:hi|hey|hello|ok|okay|now|then|and|also|just)",
    rf"(?:can|could|would|will|do|did|shall|should|may|might|must) {_WE}",
    rf"{_WE}(?:'d| would)? (?:want|need|like|love|wanna|wish)(?: you)?(?: to)?",
    r"(?:i(?:'m| am|m) )?(?:looking|searching) for",
    r"(?:i )?(?:can'?t|cannot|can not|could ?n't|couldnt|do ?n't|dont)(?: seem to)? (?:find|see|spot|locate)",
    rf"{_WE}(?: can)? (?:see|spot)",
    r"(?:let me|let's|let us|lets|help me|try to|go and)",
    r"(?:have you |you )?got (?=(?:any|an?|some)\b)",
    # Commands
    rf"(?:{_SLIP})(?: me| us| out| for)?",
    r"(?:finde?|locate|detect|highlight|identify|select|choose|describe|recogni[sz]e|locali[sz]e|segment|show|see|count)"
    r"(?: me| us| out)?",
    r"(?:click|tap|press)(?: on| at)",
    r"(?:look|search)(?: at| for)",
    r"point(?: me)?(?: at| to| out)",
    r"zoom(?: in)?(?: on| to| into)",
    r"(?:click|tap|press|box|circle|mark|spot|track|crop|label|outline|frame|get|give|bring|underline|annotate|"
    r"remove|delete|erase|blur|hide|replace|extract|cut out) "
    rf"{_NAMED}",
    r"(?:draw|put|make|place)(?: me)? an? (?:\w+ )?(?:box|frame|circle|rectangle|ring|outline) (?:a?round|on|over)",
    r"(?:me|us) (?:an?|the) (?:location|position|place|coordinates|(?:bounding )?box(?:es)?) (?:of|for|around)",
    r"(?:the )?(?:location|position|coordinates|bounding box(?:es)?|bbox(?:es)?) of",
    rf"(?:me|us) {_NAMED}",
    r"(?:tell(?: me)?|know) (?=wh|how|if)",
    r"(?:if|whether)",
    r"tell me about",
    # Questions
    r"wheres",
    r"where (?:exactly|on earth|in the world|the hell)",
    rf"where {_IS} {_WE}(?: \w+)?",
    rf"what(?:'s| is| are) the {_FEATURE} of",
    rf"what {_FEATURE} (?:of|{_IS})",
    r"(?:what|how) about",
    r"(?:has )?(?:anyone|anybody|someone) seen",
    r"how (?:many|much)",
    # Pictures of things
    rf"have (?=(?:(?:an?|any|some) )?(?:{_LOOK} )*{_PICTURE} of)",
    rf"(?:does|do) (?:this|the|that|my) {_PICTURE} (?:contain|have|include|show)",
    rf"(?:in|on) (?:this|the|my|that) {_PICTURE},?",
    rf"(?:(?:this|that|it|here)(?:'s| is) )?(?:(?:an?|the|this|my|some|one) )?(?:{_LOOK} )*{_PICTURE} "
    r"(?:of|with|(?:that )?(?:shows?|showing|contain(?:s|ing)|depict(?:s|ing)))",
)
_OPENING = re.compile(rf"(?:{'|'.join(_OPENINGS)})(?:(?<!\w)|(?![\w'-]))\s*", re.IGNORECASE)
_BEGINNING = re.compile(r"(?:^|[.!?;:\n])[\s\"'(]*")  # where a sentence may begin
_MANNERS = re.compile(r"\b(?:please|pls|plz|thanks|thank you|(?<=[\s,])etc\b\.?)(?!\w)", re.IGNORECASE)

_MARK = r"\(?\d{1,2}[.)](?=\s|[^\W\d])|(?:\(?[a-z][.)]|[-*\u2022])(?=\s)"  # 1.  2)  (a)  -
_FIRST_MARK = re.compile(rf"\s*(?:{_MARK})", re.IGNORECASE)
_NEXT_MARK = re.compile(rf"(?<=\s)(?:{_MARK})", re.IGNORECASE)
_SLASH = re.compile(r"(?<=[^\W\d_]{2}) ?/ ?(?=[^\W\d_]{2})")  # cat/dog, but neither w/o nor 1/2
_COMPANY = re.compile(r"\b[A-Z]{1,3}&[A-Z]{1,3}\b")
_LINE = re.compile(r"\s*\w+(?: [\w'-]+){0,3}\s*")
_POINTED = r"(?:there|it|this|that|these|those|here|he|she|they)"
_ASKING = re.compile(
    rf"\W*(?:(?:{'|'.join(QUESTION_SLIPS)}|what|where|which|who|whose|why|when|how|is|are|was|were|do|does|did|has|have)"
    rf"(?:n't|'s|'re)?|{_POINTED}(?:'s|'re| is| are| was| were| should| must| has))\b",
    re.IGNORECASE,
)
_LOOSE = re.compile(r"(?:^|\s)(?:an?|the|and|or|of|in|on|with|at|to|by|for)$|^(?:and|or|of|in|on|with|at|to)\b", re.I)


def description_in(query: str) -> str:
    """The query with spaces in place of requests, questions, manners, "a photo of" and the marks of a list.

    What parts the things of a list ("cat/dog", one thing a line) becomes a comma. As long as the query; never fails.
    """
    text = plain_apostrophes(query)
    if _FIRST_MARK.match(text):
        text = _NEXT_MARK.sub(lambda mark: "," + " " * (len(mark[0]) - 1), _FIRST_MARK.sub(_blank, text, count=1))
    lines = text.split("\n")
    if len(lines) > 2 and all(_LINE.fullmatch(line) and not _LOOSE.search(line.strip()) for line in lines):
        text = ",".join(lines)
    text = re.sub(r"\band/(?=or\b)", _blank, text)
    text = re.sub(r"\bw/(?=\w\w)", "w ", text)
    text = _SLASH.sub(lambda slash: slash[0].replace("/", ","), text)
    text = _COMPANY.sub(lambda name: name[0].replace("&", "-"), text)  # one word, as NLTK reads it
    text = _MANNERS.sub(_blank, text)
    pieces, done = [], 0
    for beginning in _BEGINNING.finditer(text):
        start = end = beginning.end()
        while opening := _OPENING.match(text, end):
            end = opening.end()
        if end > start >= done:
            pieces += [text[done:start], _blank(text[start:end])]
            done = end
    return "".join([*pieces, text[done:]])


def asks(description: str) -> bool:
    """Whether a description asks or states that something is there, instead of naming it: "is there a dog?"."""
    return _ASKING.match(description) is not None


def _blank(piece: str | re.Match) -> str:
    """A space for every character but line breaks."""
    return re.sub(r"[^\n]", " ", piece if isinstance(piece, str) else piece[0])
