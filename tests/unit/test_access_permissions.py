"""Roles and actions: the whole table, written out a second time by hand, so that no right is given by accident."""

import itertools

import pytest

from countersign.access.permissions import Action, allowed, require, roles_for, sees_only_own
from countersign.access.principal import Principal
from countersign.errors import Forbidden
from countersign.words import Role

TABLE = """
                requester  reviewer  auditor  operator  admin
submit          own        -         -        -         all
list_reviews    own        all       all      all       all
read_review     own        all       all      -         all
read_document   own        all       all      -         all
read_trail      -          all       all      -         all
follow          own        all       all      -         all
read_queue      -          all       all      all       all
claim           -          all       -        -         all
decide          -          all       -        -         all
answer          own        -         -        -         all
manage_keys     -          -         -        -         all
manage_limits   -          -         -        all       all
read_metrics    -          -         all      all       all
read_costs      -          -         all      all       all
read_limits     -          -         all      all       all
read_circuits   -          all       all      all       all
read_autonomy   -          all       all      all       all
manage_autonomy -          -         -        -         all
read_shadow     -          all       all      -         all
read_memory     -          all       all      -         all
manage_memory   -          all       -        -         all
read_batches    -          all       all      all       all
manage_batches  -          -         -        all       all
read_people     -          all       all      -         all
manage_people   -          -         -        -         all
own_absence     -          all       -        -         all
read_vigilance  -          -         all      -         all
read_subscriptions -       -         all      all       all
manage_subscriptions -     -         -        all       all
"""


def _table() -> dict[tuple[Role, Action], str]:
    head, *lines = TABLE.strip().splitlines()
    roles = [Role(word) for word in head.split()]
    return {
        (role, Action(action)): word
        for action, *words in (line.split() for line in lines)
        for role, word in zip(roles, words, strict=True)
    }


RIGHTS = _table()


def person(*roles: Role) -> Principal:
    return Principal("acme", "Ann", "p1:ann", frozenset(roles))


def test_the_table_is_complete() -> None:
    assert set(RIGHTS) == set(itertools.product(Role, Action))


@pytest.mark.parametrize(("role", "action"), RIGHTS)
def test_one_role(role: Role, action: Action) -> None:
    right = RIGHTS[role, action]
    assert allowed(person(role), action) == (right != "-")
    assert sees_only_own(person(role), action) == (right != "all")
    assert (role in roles_for(action)) == (right != "-")


@pytest.mark.parametrize("roles", list(itertools.combinations(Role, 2)))
def test_two_roles_may_what_either_may_and_reach_as_far_as_the_wider(roles: tuple[Role, Role]) -> None:
    for action in Action:
        rights = {RIGHTS[role, action] for role in roles}
        assert allowed(person(*roles), action) == (rights != {"-"})
        assert sees_only_own(person(*roles), action) == ("all" not in rights)


def test_nobody_may_nothing_without_a_role() -> None:
    assert not any(allowed(person(), action) for action in Action)
    assert sees_only_own(person())


def test_a_refusal_names_the_roles_that_may_and_nobody() -> None:
    require(person(Role.REVIEWER), Action.DECIDE)
    with pytest.raises(Forbidden) as refused:
        require(person(Role.REQUESTER, Role.OPERATOR), Action.DECIDE)
    assert "decide: takes the role reviewer or admin" in str(refused.value)
    assert "Ann" not in str(refused.value)
