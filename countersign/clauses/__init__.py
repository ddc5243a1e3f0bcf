"""Finding the clauses a playbook asks for, and judging the position each one takes. No network, no language model."""

from countersign.clauses.find import ClauseHit, find_clauses
from countersign.clauses.position import judge_position

__all__ = ["ClauseHit", "find_clauses", "judge_position"]
