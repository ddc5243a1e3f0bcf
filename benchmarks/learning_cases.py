"""Real contracts in pairs that share a clause, for the benchmark of learning; and which clauses are alike at all.

"The same clause" is told here by words alone (shared five-word runs), so that it does not depend on the vectors that
are measured with it.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path

from benchmarks.contract_cases import SEED, TEXTS, load_cases
from countersign.agents import prompts
from countersign.agents.blocks import parse
from countersign.agents.deps import AgentDeps
from countersign.agents.offline.request import Prompt
from countersign.agents.offline.specialist import findings_answer
from countersign.document.model import DocumentText
from countersign.document.read import read_document
from countersign.learning.likeness import figures, margins
from countersign.memory.embedding import Embedder
from countersign.playbook.model import Playbook
from countersign.review.payloads import Finding, PlannedTask, ReviewKey, SpecialistReport
from countersign.review.verify import verify_reports
from countersign.words import Severity

MAX_CHARS = 60_000
SEEN = 120
"""Patterns of `countersign.learning.likeness` were set on the first so many contracts, thresholds on later ones too."""
SAME, UNLIKE = 0.8, 0.2
"""Share of the five-word runs of either clause that the other has: from the first the same, below the second unlike."""
LIGHT = (Severity.LOW, Severity.MEDIUM)
"""What one person may make milder under the playbook's quorum."""


@dataclass(frozen=True)
class Contract:
    """A contract and what the machine finds in it without corrections."""

    path: Path
    document: DocumentText
    findings: tuple[Finding, ...]

    def about(self, clause: str) -> Finding | None:
        """The finding on a clause family, if there is one."""
        return next((finding for finding in self.findings if finding.clause == clause), None)


@dataclass(frozen=True)
class Pair:
    """`target` is another contract with the clause that `source` has; `unlike` a third one with another such clause.

    `kind` is "natural" when both contracts were written with it, "planted" when it was put into the target, word for
    word, where the target had none.
    """

    kind: str
    clause: str
    before: Severity
    source: bytes
    target: bytes
    unlike: bytes | None


def scanned(data: Path, playbook: Playbook, limit: int) -> list[Contract]:
    """A seeded choice of CUAD's texts of at most 60,000 characters, none of the `SEEN` ones, with their findings."""
    cases = [case for case in load_cases(data, playbook.name).cases if case.source == TEXTS]
    random.Random(SEED).shuffle(cases)  # noqa: S311 - not for secrets
    short = (case.path for case in cases if case.path.stat().st_size <= MAX_CHARS)
    return [
        contract for path in islice(short, SEEN, SEEN + limit) if (contract := _scan(path, path.read_bytes(), playbook))
    ]


def pairs(contracts: Sequence[Contract], playbook: Playbook, severities: Sequence[Severity], most: int) -> list[Pair]:
    """At most `most` pairs whose finding has one of `severities`: natural ones first, then planted ones."""
    found = list(islice(_natural(contracts, severities), most))
    return found + list(islice(_planted(contracts, playbook, severities), most - len(found)))


def likeness(contracts: Sequence[Contract], embedder: Embedder, most: int) -> dict[str, object]:
    """How an embedder does, shared words beside it, on pairs of clauses of one family from two contracts.

    `recognised` of the same ones are alike; of the unlike ones `taken_for_same` are alike and
    `taken_with_figures` are so too when no figure or negation may be new, as it must be for what makes milder.
    """
    quoted = [
        (place, finding.clause, evidence.quote)
        for place, contract in enumerate(contracts)
        for finding in contract.findings
        for evidence in finding.evidence
    ]
    drawn = random.Random(SEED)  # noqa: S311 - not for secrets
    same: list[tuple[str, str]] = []
    unlike: list[tuple[str, str]] = []
    for one, other in combinations(drawn.sample(quoted, len(quoted)), 2):
        if one[0] == other[0] or one[1] != other[1]:
            continue
        shared = shares(one[2], other[2])
        if shared >= SAME:
            same.append((one[2], other[2]))
        elif shared < UNLIKE and len(unlike) < most:
            unlike.append((one[2], other[2]))
    texts = list(dict.fromkeys(text for pair in (*same, *unlike) for text in pair))
    vectors = dict(zip(texts, embedder.embed(texts), strict=True))

    def alike(one: str, other: str) -> bool:
        cosine = sum(a * b for a, b in zip(vectors[one], vectors[other], strict=True))
        return margins([one], [other], [cosine], embedder.name)[0] >= 0

    taken = [(one, other) for one, other in unlike if alike(one, other)]
    return {
        "embedder": embedder.name,
        "same": len(same),
        "recognised": _share(sum(alike(*pair) for pair in same), len(same)),
        "unlike": len(unlike),
        "taken_for_same": _share(len(taken), len(unlike)),
        "taken_with_figures": _share(sum(figures([b]) <= figures([a]) for a, b in taken), len(unlike)),
    }


def shares(one: str, other: str) -> float:
    """The smaller of the shares of five-word runs that each text has in common with the other, in [0, 1]."""
    first, second = _runs(one), _runs(other)
    return len(first & second) / max(len(first), len(second)) if first and second else 0.0


def _natural(contracts: Sequence[Contract], severities: Sequence[Severity]) -> Iterator[Pair]:
    """Pairs of contracts that say the same in a clause; of each contract and family one at most."""
    seen: set[tuple[Path, str]] = set()
    for one, other in combinations(contracts, 2):
        for finding in one.findings:
            twin = other.about(finding.clause)
            keys = {(one.path, finding.clause), (other.path, finding.clause)}
            if twin is None or seen & keys or not _fits(finding, twin, severities):
                continue
            if shares(_quoted(finding), _quoted(twin)) >= SAME:
                seen |= keys
                unlike = _unlike(contracts, finding)
                yield Pair("natural", finding.clause, finding.severity, _data(one), _data(other), unlike)


def _planted(contracts: Sequence[Contract], playbook: Playbook, severities: Sequence[Severity]) -> Iterator[Pair]:
    """A clause of one contract in the middle of another that has none of its family."""
    order = random.Random(SEED)  # noqa: S311 - not for secrets
    for source in contracts:
        for finding in order.sample(source.findings, len(source.findings)):
            if len(finding.evidence) != 1 or finding.severity not in severities:
                continue
            host = next((c for c in contracts if c is not source and c.about(finding.clause) is None), None)
            if host is None:
                continue
            text = host.document.text
            middle = text.find("\n\n", len(text) // 2)
            if middle < 0:
                continue
            data = f"{text[:middle]}\n\n{finding.evidence[0].quote}\n{text[middle:]}".encode()
            planted = _scan(host.path, data, playbook)
            twin = planted.about(finding.clause) if planted else None
            if twin is not None and _fits(finding, twin, severities):
                unlike = _unlike(contracts, finding)
                yield Pair("planted", finding.clause, finding.severity, _data(source), data, unlike)
                break


def _fits(finding: Finding, twin: Finding, severities: Sequence[Severity]) -> bool:
    """Whether the machine makes the same mistake twice, if it is one."""
    return bool(
        finding.evidence
        and twin.evidence
        and finding.severity in severities
        and (finding.severity, finding.position) == (twin.severity, twin.position)
    )


def _unlike(contracts: Sequence[Contract], finding: Finding) -> bytes | None:
    """A contract with a finding of the same family, severity and position on a clause in quite other words."""
    for contract in contracts:
        other = contract.about(finding.clause)
        if other and _fits(finding, other, (finding.severity,)) and shares(_quoted(finding), _quoted(other)) < UNLIKE:
            return _data(contract)
    return None


def _scan(path: Path, data: bytes, playbook: Playbook) -> Contract | None:
    """What the offline specialist finds, verified; None for a text that is no contract to the reader."""
    document = read_document(data, "text/plain", max_bytes=len(data))
    deps = AgentDeps(ReviewKey(tenant="t", review_id="r", workflow_id="w"), playbook, document)
    everything = PlannedTask(specialist=playbook.specialists[0].key, families=tuple(f.key for f in playbook.families))
    prompt = Prompt(parse(prompts.specialist_prompt(deps, everything)), lambda _: playbook)
    report = SpecialistReport(specialist="all", findings=findings_answer(prompt).findings)
    return Contract(path, document, verify_reports([report], document, {}).findings)


def _quoted(finding: Finding) -> str:
    return " ".join(evidence.quote for evidence in finding.evidence)


def _data(contract: Contract) -> bytes:
    return contract.path.read_bytes()


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[start : start + 5]) for start in range(max(len(words) - 4, 0))}


def _share(part: int, of: int) -> float | None:
    return round(part / of, 4) if of else None
