"""Plans made whole: every focused clause family looked at exactly once, whatever a model planned. Pure."""

from collections.abc import Collection, Sequence

from countersign.clauses.position import compiled, plain
from countersign.document.model import DocumentText
from countersign.playbook.model import Family, Playbook
from countersign.review.payloads import Plan, PlannedTask


def sections_with_cues(document: DocumentText, families: Sequence[Family]) -> dict[str, tuple[str, ...]]:
    """Section label to the keys of the families with a cue in that section; sections without any are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for section in document.sections:
        text = plain(document.text[section.start : section.end])
        keys = tuple(family.key for family in families if any(compiled(cue).search(text) for cue in family.cues))
        if keys:
            found[section.label] = keys
    return found


def complaints(plan: Plan, playbook: Playbook, focused: Collection[str]) -> tuple[str, ...]:
    """What is wrong with a plan, one sentence each; empty when every focused family is planned exactly once."""
    specialists = {specialist.key for specialist in playbook.specialists}
    wrong: list[str] = []
    planned: list[str] = []
    for task in plan.tasks:
        if task.specialist not in specialists:
            wrong.append(
                f"specialist {task.specialist!r} is unknown; the specialists are {', '.join(sorted(specialists))}"
            )
        planned.extend(task.families)
    wrong.extend(f"family {key!r} is not to be looked at" for key in sorted(set(planned) - set(focused)))
    wrong.extend(
        f"family {key!r} is planned more than once" for key in sorted({k for k in planned if planned.count(k) > 1})
    )
    wrong.extend(f"family {key!r} is forgotten" for key in focused if key not in planned)
    return tuple(wrong)


def repaired(plan: Plan, playbook: Playbook, document: DocumentText, focused: Sequence[str], *, is_long: bool) -> Plan:
    """The plan with one task a specialist, every family of `focused` in exactly one of them, and known sections only.

    Families that the plan forgot, doubled or gave to nobody known go to the specialist the playbook names. For a long
    document a task without sections is given those that carry its families' cues; for any other, sections are dropped,
    since everyone reads the whole.
    """
    known = {specialist.key: specialist for specialist in playbook.specialists}
    owner: dict[str, str] = {}
    for task in plan.tasks:
        if task.specialist in known:
            for key in task.families:
                if key in focused:
                    owner.setdefault(key, task.specialist)
    for key in focused:
        owner.setdefault(key, playbook.family(key).specialist)
    tasks = []
    for specialist in known:
        families = tuple(key for key in focused if owner[key] == specialist)
        if not families:
            continue
        own = [task for task in plan.tasks if task.specialist == specialist]
        wished = {label for task in own for label in task.sections}
        sections = _sections(document, wished, [playbook.family(key) for key in families]) if is_long else ()
        reason = next(
            (task.reason for task in own if task.reason), f"the playbook gives these families to {specialist}"
        )
        tasks.append(PlannedTask(specialist=specialist, families=families, sections=sections, reason=reason))
    return plan.model_copy(update={"tasks": tuple(tasks)})


def _sections(document: DocumentText, wished: Collection[str], families: Sequence[Family]) -> tuple[str, ...]:
    """Those wished that exist, or else those with cues of the families, in the document's order."""
    chosen = tuple(section.label for section in document.sections if section.label in wished)
    return chosen or tuple(sections_with_cues(document, families))
