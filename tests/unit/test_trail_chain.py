"""The trail's hash chain: a whole chain verifies, and every change, gap or swap is found and named."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.trail.chain import GENESIS, TrailRow, canonical, hash_of, plain, verify_chain

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FACTS = st.dictionaries(
    st.text(max_size=8),
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    max_size=3,
)


def chain(facts: list[dict[str, Any]], workflow_id: str = "review-acme-1") -> list[TrailRow]:
    rows: list[TrailRow] = []
    for sequence, fact in enumerate(facts, 1):
        row = TrailRow(
            workflow_id=workflow_id,
            sequence=sequence,
            tenant="acme",
            review_id="1",
            stage="read",
            event="read",
            user_hash="p1:0",
            input_hash="ab",
            actor_hash=None,
            facts=plain(fact),
            created_at=AT + timedelta(seconds=sequence),
            expires_at=AT + timedelta(days=2555),
            prev_hash=rows[-1].row_hash if rows else GENESIS,
            row_hash="",
        )
        rows.append(row.model_copy(update={"row_hash": hash_of(row)}))
    return rows


@given(st.lists(FACTS, max_size=5))
def test_a_whole_chain_verifies(facts: list[dict[str, Any]]) -> None:
    check = verify_chain(chain(facts))
    assert (check.ok, check.rows, check.problem) == (True, len(facts), None)


CHANGES: dict[str, Any] = {
    "tenant": "other",
    "review_id": "2",
    "stage": "sign",
    "event": "decision",
    "user_hash": "p1:1",
    "input_hash": "cd",
    "actor_hash": "p1:2",
    "facts": {"risk": 0.1},
    "created_at": AT,
    "expires_at": AT + timedelta(days=1),
}


@given(st.sampled_from(sorted(CHANGES)), st.integers(0, 3))
def test_any_changed_field_is_found_in_its_row(field: str, index: int) -> None:
    rows = chain([{"n": n} for n in range(4)])
    rows[index] = rows[index].model_copy(update={field: CHANGES[field]})
    check = verify_chain(rows)
    assert not check.ok
    assert check.problem is not None
    assert check.problem.startswith(f"row {index + 1} was changed")


def test_every_field_but_the_hash_is_covered() -> None:
    assert {*CHANGES, "workflow_id", "sequence", "prev_hash", "row_hash"} == set(TrailRow.model_fields)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_missing_row_is_found(index: int) -> None:
    rows = chain([{}, {}, {}, {}])
    del rows[index]
    assert verify_chain(rows).problem == f"row {index + 1} is missing"


def test_a_row_replaced_with_a_right_hash_breaks_the_link() -> None:
    rows = chain([{}, {}, {}])
    forged = rows[1].model_copy(update={"event": "forged"})
    rows[1] = forged.model_copy(update={"row_hash": hash_of(forged)})
    assert verify_chain(rows).problem == "row 3 does not follow row 2: that one was replaced"


def test_two_workflows_rows_do_not_make_a_chain() -> None:
    rows = [chain([{}])[0], chain([{}, {}], "review-acme-2")[1]]
    assert verify_chain(rows).problem == "row 2 belongs to another workflow"


def test_the_hash_does_not_depend_on_the_time_zone_it_is_read_in() -> None:
    row = chain([{}])[0]
    elsewhere = row.model_copy(
        update={"created_at": row.created_at.astimezone(timezone(timedelta(hours=5, minutes=30)))}
    )
    assert canonical(elsewhere) == canonical(row)


def test_what_is_no_number_in_json_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        chain([{"score": float("nan")}])


def test_whole_floats_become_integers_everywhere() -> None:
    assert repr(plain({"a": [1e16, -0.0, 0.5, (2.0, True)]})) == "{'a': [10000000000000000, 0, 0.5, [2, True]]}"
