"""What the sentinel is measured and trained on, read from the shared data, with the groups that must not be parted.

Texts of one group go into one fold: passages and sentences of one contract, payloads made from one template or of one
kind of task, and prompts that are near-duplicates of each other.
"""

import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Row = dict[str, object]

QUICK = {"contracts": 60, "rows": 250}
WITHOUT_CUE = "bipia_bare"
FOLDS = 5
SEED = 11
SHINGLE = 5
"""Prompts that share half of the shorter one's runs of so many words are near-duplicates."""
COMMON = 200
"""A run of words in more prompts than this says nothing about two of them."""


@dataclass(frozen=True)
class Case:
    """One text for one channel, counted under `measure`. `attack` is its payload, `carrier` the contract around it."""

    measure: str
    instruction: str
    document: str
    source: str
    group: str
    attack: str = ""
    carrier: str = ""


def load(data: Path, *, quick: bool) -> list[Case]:
    """Every case of `data`, or a seeded sample of it; sets that are absent are left out."""
    injections = data / "prompt_injection"
    public = rows(injections / "injection.jsonl")
    kinds = {str(row["text"]).strip(): _family(row) for row in public if row["form"] == "payload"}
    cases: list[Case] = []
    for row in sample(rows(data / "cuad" / "contracts.jsonl"), QUICK["contracts"], quick=quick):
        text = (data / "cuad" / str(row["txt"])).read_text(encoding="utf-8")
        cases.append(Case("false_contracts", "", text, "cuad", contract_group(row["contract_id"])))
    for row in sample(rows(injections / "contract_embedded.jsonl"), QUICK["rows"], quick=quick):
        carrier, kind = contract_group(row["carrier_doc"]), str(row["attack_kind"])
        if not row["label"]:
            cases.append(Case("false_passages", "", str(row["text"]), str(row["carrier_source"]), carrier))
            continue
        bare, payload = kind == WITHOUT_CUE, str(row["payload"])
        group = kinds.get(payload.strip(), f"family {kind}") if bare else f"family {kind}"
        measure, source = "recall_bare" if bare else "recall_cued", re.split("[_/]", kind)[0]
        cases.append(Case(measure, "", str(row["text"]), source, group, payload, carrier))
    for row in sample(rows(injections / "contract_hard_negatives.jsonl"), QUICK["rows"], quick=quick):
        group = contract_group(row["doc"])
        cases.append(Case("false_hard_negatives", "", str(row["text"]), str(row["source"]), group))
    clusters = near_duplicates([str(row["text"]) for row in public])
    numbered = sample(list(zip(public, clusters, strict=True)), 2 * QUICK["rows"], quick=quick)
    for row, cluster in numbered:
        text, source = str(row["text"]), str(row["source"]).split("_")[0]
        group = _family(row) if row["label"] and source in FAMILIES else f"cluster {cluster}"
        if not row["label"]:
            cases.append(Case("false_public", text, "", str(row["source"]), group))
        else:
            measure = "recall_public_payloads" if row["form"] == "payload" else "recall_public"
            cases.append(Case(measure, text, "", source.removesuffix("corpus"), group, text))
    return cases


FAMILIES = {"spikee", "bastioncorpus", "agentdojo", "bipia"}
"""Sources whose attacks are made from templates or by kind: these are their groups."""


def contract_group(name: object) -> str:
    """The group of everything that comes from one contract."""
    return f"contract {name}"


def _family(row: Row) -> str:
    source, kind = str(row["source"]).split("_")[0], str(row["category"]).split("/")[0]
    if source == "agentdojo":
        return "family agentdojo/simple"
    return f"family {source.removesuffix('corpus')}/{kind}"


def near_duplicates(texts: list[str]) -> list[int]:
    """For each text the first text that it is joined to by a chain of near-duplicates."""
    shingles = []
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        shingles.append({tuple(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))})
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, runs in enumerate(shingles):
        for run in runs:
            holders[run].append(number)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for numbers in holders.values():
        if len(numbers) <= COMMON:
            for place, later in enumerate(numbers):
                for earlier in numbers[:place]:
                    shared[earlier, later] += 1
    first = list(range(len(texts)))

    def root(number: int) -> int:
        while first[number] != number:
            first[number] = first[first[number]]
            number = first[number]
        return number

    for (earlier, later), count in shared.items():
        if 2 * count >= min(len(shingles[earlier]), len(shingles[later])):
            low, high = sorted((root(earlier), root(later)))
            first[high] = low
    return [root(number) for number in range(len(texts))]


def folds(groups: Iterable[str]) -> Callable[[str], int]:
    """A seeded fold for each group, each sort of group spread evenly over the folds."""
    by_sort: dict[str, list[str]] = defaultdict(list)
    for group in sorted(set(groups)):
        by_sort[group.split(" ", 1)[0]].append(group)
    number: dict[str, int] = {}
    for members in by_sort.values():
        random.Random(SEED).shuffle(members)  # noqa: S311 - not for secrets
        number.update({group: place % FOLDS for place, group in enumerate(members)})
    return number.__getitem__


def rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file; none if it is absent."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def sample(items: list[Item], size: int, *, quick: bool) -> list[Item]:
    """`items`, or with `quick` a seeded sample of at most `size`."""
    return random.Random(2).sample(items, size) if quick and len(items) > size else items  # noqa: S311 - not for secrets
