"""What the resolver answers is told when it changes, and reaches the driver as it came."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from chaos.model.record import Observation
from loadgen.resolving import Resolving

ENDPOINTS = {
    "cluster": "shop.cluster-1.example",
    "reader": "shop.cluster-ro-1.example",
    "shop-instance-1": "shop-instance-1.1.example",
}


class Ticking:
    """A clock that is a second later whenever it is asked."""

    def __init__(self) -> None:
        self._now_ns = 0

    def now_ns(self) -> int:
        self._now_ns += 1_000_000_000
        return self._now_ns

    def sleep(self, seconds: float) -> None:
        raise AssertionError(f"asked to wait {seconds} s")


def entries(*addresses: str) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 5432)) for a in addresses]


class Resolver:
    """A resolver whose next answers are known; it counts who asked."""

    def __init__(self) -> None:
        self.answers: list[Any] = []

    def getaddrinfo(self, *asked: Any, **options: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        self.asked = (asked, options)
        return answer

    def gethostbyname(self, _host: str) -> Any:
        return self.answers.pop(0)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """The resolver of this process for as long as the test lasts."""
    fake = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", fake.getaddrinfo)
    monkeypatch.setattr(socket, "gethostbyname", fake.gethostbyname)
    return fake


@pytest.fixture
def seen(resolver: Resolver) -> list[Observation]:
    """What is told of it."""
    found: list[Observation] = []
    Resolving("arm", ENDPOINTS, found.append, Ticking()).install()
    return found


def test_an_answer_reaches_the_driver_as_it_came(
    resolver: Resolver, seen: list[Observation]
) -> None:
    answer = entries("10.0.0.1")
    resolver.answers = [answer]
    assert socket.getaddrinfo(ENDPOINTS["cluster"], 5432, type=socket.SOCK_STREAM) is answer
    assert resolver.asked == ((ENDPOINTS["cluster"], 5432), {"type": socket.SOCK_STREAM})
    (one,) = seen
    assert (one.kind, one.subject, one.value) == ("resolved", "arm cluster", "10.0.0.1")


def test_only_a_change_is_told_with_the_last_time_of_the_old_answer(
    resolver: Resolver, seen: list[Observation]
) -> None:
    resolver.answers = [entries(a) for a in ("10.0.0.1", "10.0.0.1", "10.0.0.2")]
    for _ in range(3):
        socket.getaddrinfo(ENDPOINTS["cluster"], 5432)
    first, second = seen
    assert (first.since_ns, first.at_ns) == (None, 2_000_000_000)
    assert (second.value, second.since_ns, second.at_ns) == (
        "10.0.0.2",
        3_000_000_000,
        6_000_000_000,
    )


def test_an_error_is_told_and_raised(resolver: Resolver, seen: list[Observation]) -> None:
    error = socket.gaierror(socket.EAI_NONAME, "shop: NXDOMAIN")
    resolver.answers = [error]
    with pytest.raises(socket.gaierror) as raised:
        socket.getaddrinfo(ENDPOINTS["cluster"], 5432)
    assert raised.value is error
    assert seen[0].value == "EAI_NONAME"


def test_a_name_that_balances_is_all_that_it_led_to_lately(
    resolver: Resolver, seen: list[Observation]
) -> None:
    resolver.answers = ["10.0.0.2", "10.0.0.3", "10.0.0.3"]
    for _ in range(3):
        socket.gethostbyname(ENDPOINTS["reader"])
    assert [o.value for o in seen] == ["10.0.0.2", "10.0.0.2,10.0.0.3", "10.0.0.3"]


@pytest.mark.parametrize("host", ["db.example", ENDPOINTS["shop-instance-1"], b"bytes", None])
def test_other_names_are_none_of_its_business(
    resolver: Resolver, seen: list[Observation], host: Any
) -> None:
    resolver.answers = [entries("10.0.0.9")]
    socket.getaddrinfo(host, 5432)
    assert seen == []
