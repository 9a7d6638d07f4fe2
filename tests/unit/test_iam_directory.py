"""The directory that judges tokens speaks as much LDAP as a simple bind takes, and survives the rest."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.testcluster.security import iam_directory
from chaos.testcluster.security.iam_auth import Door, TokenRefused
from chaos.testcluster.security.iam_directory import TokenDirectory

DOOR = Door(hosts={"h"}, port=5432, region="eu-west-1")
SUCCESS, AUTH_METHOD, INVALID = 0, 7, 49


def element(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    return bytes((tag, 0x82)) + len(content).to_bytes(2) + content


def bind(name: str, password: str, *, method: int = 0x80, number: int = 1) -> bytes:
    request = element(2, b"\x03") + element(4, name.encode()) + element(method, password.encode())
    return element(0x30, element(2, bytes((number,))) + element(0x60, request))


def result(reply: bytes) -> int:
    """The result code of a bind's response, after its message number."""
    assert (reply[0], reply[5]) == (0x30, 0x61)
    return reply[9]


@pytest.fixture(scope="module")
def directory() -> Iterator[TokenDirectory]:
    """A directory of one instance, whose token for each user is `of USER` and some more."""

    def judge(token: str, user: str, door: Door, now: datetime) -> None:
        assert door == DOOR
        assert now.tzinfo is UTC
        if not token.startswith(f"of {user}"):
            raise TokenRefused("no")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iam_directory, "require_valid", judge)
        served = TokenDirectory("127.0.0.1", lambda name: DOOR if name == "here" else None)
        yield served
        served.close()


def test_a_bind_is_judged(directory: TokenDirectory) -> None:
    token = "x" * 1000
    with socket.create_connection(("127.0.0.1", directory.port), timeout=30) as client:
        for name, password, expected in (
            ("uid=joe,ou=here", f"of joe{token}", SUCCESS),
            ("uid=joe,ou=here", f"of ann{token}", INVALID),
            ("uid=joe,ou=there", f"of joe{token}", INVALID),
            ("uid=a,ou=x,b,ou=here", "of a,ou=x,b", SUCCESS),
            ("cn=joe,ou=here", "of joe", INVALID),
            ("uid=joe", "of joe", INVALID),
            ("", "", INVALID),
        ):
            client.sendall(bind(name, password))
            assert result(client.recv(1000)) == expected, name
        client.sendall(element(0x30, element(2, b"\x02") + bytes((0x42, 0))))  # unbind
        assert client.recv(1000) == b""


def test_other_ways_to_authenticate_are_refused(directory: TokenDirectory) -> None:
    reply = directory.answer(bind("uid=joe,ou=here", "of joe", method=0xA3))
    assert reply is not None
    assert result(reply) == AUTH_METHOD


def test_the_reply_has_the_number_of_the_request(directory: TokenDirectory) -> None:
    reply = directory.answer(bind("uid=joe,ou=here", "of joe", number=77))
    assert reply is not None
    assert reply[2:5] == element(2, bytes((77,)))


@given(message=st.binary(max_size=60) | st.binary(max_size=40).map(lambda b: element(0x30, b)))
def test_nonsense_gets_no_answer(directory: TokenDirectory, message: bytes) -> None:
    assert directory.answer(message) is None


@given(cut=st.integers(min_value=0, max_value=len(bind("uid=joe,ou=here", "of joe")) - 1))
def test_half_a_bind_gets_no_answer(directory: TokenDirectory, cut: int) -> None:
    assert directory.answer(bind("uid=joe,ou=here", "of joe")[:cut]) is None


def test_a_message_beyond_any_length_ends_the_connection(directory: TokenDirectory) -> None:
    with socket.create_connection(("127.0.0.1", directory.port), timeout=30) as client:
        client.sendall(b"\x30\x84\x7f\xff\xff\xff")
        assert client.recv(1000) == b""
