"""Who a principal may be: the same tenants and users that a review request takes, and no name in what is printed."""

import pytest

from countersign.access.principal import Principal, check_person, known_roles
from countersign.errors import InvalidRequest
from countersign.words import Role


def test_a_name_is_trimmed_and_kept() -> None:
    assert check_person("acme", " Ann O'Neill-Müller (Legal) ") == "Ann O'Neill-Müller (Legal)"


@pytest.mark.parametrize(
    ("tenant", "user", "field"),
    [
        ("Acme", "Ann", "tenant"),
        ("", "Ann", "tenant"),
        ("a/b", "Ann", "tenant"),
        ("a" * 33, "Ann", "tenant"),
        ("acme\n", "Ann", "tenant"),
        ("acme", "", "user"),
        ("acme", "  ", "user"),
        ("acme", "Zoe" * 100, "user"),
        ("acme", "Zoe\r\nX-Role: admin", "user"),
        ("acme", "Zoe\u200bX", "user"),
        ("acme", "Zoe\u202eX", "user"),
    ],
)
def test_what_a_request_may_not_carry_is_refused_by_field(tenant: str, user: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_person(tenant, user)
    assert refused.value.message.startswith(f"{field}: ")
    assert "Zoe" not in str(refused.value)


def test_unknown_roles_are_ignored() -> None:
    assert known_roles(["reviewer", "Admin", "uma_authorization", 7, None, {}, "auditor"]) == {
        Role.REVIEWER,
        Role.AUDITOR,
    }


def test_a_principal_does_not_show_its_name() -> None:
    assert "Ann" not in repr(Principal("acme", "Ann", "p1:x", frozenset({Role.ADMIN})))
