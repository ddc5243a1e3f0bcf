"""The plan, offline: families to the specialists the playbook names, sections where their signs were seen."""

from countersign.agents.offline.request import Prompt
from countersign.review.payloads import Plan, PlannedTask


def plan_answer(prompt: Prompt) -> Plan:
    """One task a specialist with families to look at, sections only when the task says that the document is long."""
    tasks = []
    for specialist in prompt.playbook.specialists:
        families = tuple(family.key for family in prompt.families if family.specialist == specialist.key)
        if not families:
            continue
        sections = tuple(
            row["label"]
            for row in prompt.outline
            if prompt.task.get("long") and set(families) & set(row.get("signs_of", ()))
        )
        where = f"signs of them in {len(sections)} sections" if sections else "to be sought in the whole document"
        tasks.append(
            PlannedTask(
                specialist=specialist.key,
                families=families,
                sections=sections,
                reason=f"{specialist.title}: {len(families)} families, {where}",
            )
        )
    focused = "the requester's focus" if prompt.intent.focus else "the whole playbook"
    return Plan(tasks=tuple(tasks), reason=f"{len(prompt.families)} families for {len(tasks)} specialists: {focused}")
