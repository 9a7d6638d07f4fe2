"""Who may connect: the rules that PostgreSQL reads top down, and what it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.testcluster.postgres.configuration import AccessRules
from chaos.testcluster.postgres.template import Template
from chaos.testcluster.records import ApiError
from chaos.testcluster.security.admission import Access, Security

OWN = [
    "host all rdsadmin 127.0.0.0/8 scram-sha-256",
    "host replication all 127.0.0.0/8 scram-sha-256",
]
DIRECTORY = 'ldapserver=127.77.1.1 ldapport=7 ldapprefix="uid=" ldapsuffix=",ou=127.77.1.11"'
TOKENS = [
    f"hostssl all +rds_iam 127.0.0.0/8 ldap {DIRECTORY}",
    "hostnossl all +rds_iam 127.0.0.0/8 reject",
]
EVERYBODY = "all all 127.0.0.0/8 scram-sha-256"
PLACE = ("127.77.1.1", 7)


FORCED = {"rds.force_ssl": "1"}


@pytest.mark.parametrize(
    ("rules", "major", "own", "expected"),
    [
        (AccessRules(), 15, {}, [*OWN, f"host {EVERYBODY}"]),
        (AccessRules(), 15, {"rds.force_ssl": "0"}, [*OWN, f"host {EVERYBODY}"]),
        (AccessRules(), 15, FORCED, [*OWN, f"hostssl {EVERYBODY}"]),
        (AccessRules(token_directory=PLACE), 15, {}, [*OWN, *TOKENS, f"host {EVERYBODY}"]),
        (
            AccessRules(token_directory=PLACE),
            16,
            FORCED,
            [
                *OWN,
                "hostssl all gameday_admin 127.0.0.0/8 scram-sha-256",
                *TOKENS,
                f"hostssl {EVERYBODY}",
            ],
        ),
    ],
)
def test_the_rules(
    rules: AccessRules, major: int, own: dict[str, str], expected: list[str]
) -> None:
    lines = rules.render("127.77.1.11", major, own).splitlines()
    assert [line for line in lines if not line.startswith("#")] == expected


def security(directory: Path, *, tls: bool, ldap: bool) -> Security:
    template = Template(directory / "none", "c", "s", tls=tls, ldap=ldap)
    return Security(template, directory, "127.0.0.1", lambda _: None)


def test_without_openssl_there_is_no_tls_and_it_says_why(tmp_path: Path) -> None:
    without = security(tmp_path, tls=False, ldap=True)
    assert (without.ca_file, without.why_no_tls) == (
        None,
        "this PostgreSQL was built without OpenSSL",
    )
    access = Access(without, "x")
    assert not access.tls
    assert access.certificate("x") is None
    with pytest.raises(ApiError, match="built without OpenSSL") as refused:
        access.change_iam(enabled=True)
    assert refused.value.code == "InvalidParameterCombination"
    assert access.rules == AccessRules()


def test_without_ldap_no_token_is_judged_and_it_says_why(tmp_path: Path) -> None:
    access = Access(security(tmp_path, tls=True, ldap=False), "x")
    assert access.tls
    with pytest.raises(ApiError, match="built without LDAP"):
        access.change_iam(enabled=True)
    assert not access.iam


def test_tokens_are_judged_from_when_they_are_first_let_in(tmp_path: Path) -> None:
    shared = security(tmp_path, tls=True, ldap=True)
    access, other = Access(shared, "x"), Access(shared, "y")
    access.change_iam(enabled=True)
    assert (access.iam, other.iam) == (True, False)
    other.change_iam(enabled=True)
    assert access.rules == other.rules
    access.change_iam(enabled=False)
    assert (access.iam, other.iam) == (False, True)
    shared.close()
