"""What the faults of nodes and networks are made of, without a server."""

from __future__ import annotations

import os
import socket
from typing import cast

import pytest

from chaos.testcluster.aurora.core import Member
from chaos.testcluster.disturbances import DISTURBANCES
from chaos.testcluster.disturbances.registry import parse
from chaos.testcluster.machine.holding import _State, _state
from chaos.testcluster.machine.local_disk import _unescaped
from chaos.testcluster.machine.power import Power
from chaos.testcluster.machine.sockets import Tapped, accept_waiting, tap
from chaos.testcluster.records import ApiError


class Paper:
    """A member in a zone, with a node that is only itself."""

    def __init__(self, zone: str) -> None:
        self.availability_zone = zone
        self.node = object()


def paper(zone: str) -> Member:
    return cast("Member", Paper(zone))


def test_power_reaches_what_neither_its_zone_nor_itself_is_cut_off() -> None:
    power = Power()
    here, there = paper("a"), paper("b")
    assert power.cut_zone("a")
    assert not power.cut_zone("a")
    assert power.cut_node(here.node)
    assert not power.cut_node(here.node)
    assert [power.reaches(here), power.reaches(there), power.reaches(paper("a"))] == [
        *(False, True, False)
    ]
    power.restore_zone("a")
    assert [power.reaches(here), power.reaches(paper("a"))] == [False, True]
    power.restore_node(here.node)
    assert power.reaches(here)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (b"/usr/lib/postgresql/15/bin/postgres\0-D\0/x\0", None),
        (b"postgres: c-1: app app 127.0.0.1(4242) startup\0\0", None),
        (b"postgres: c-1: app app 127.0.0.1(4242) authentication\0", None),
        (b"postgres: c-1: app app 127.0.0.1(4242) idle\0\0\0", _State(True, True)),
        (b"postgres: app app 127.0.0.1(4242) idle in transaction  ", _State(True, True)),
        (b"postgres: c-1: app app 127.0.0.1(4242) SELECT waiting", _State(True, False)),
        (b"postgres: c-1: rdsadmin postgres 127.0.0.1(4242) idle", _State(False, False)),
        (b"postgres: c-1: walsender rdsrepladmin 127.0.0.1(4) streaming 0/3", _State(False, False)),
        (b"postgres: c-1: checkpointer \0", _State(False, False)),
        (b"", None),
    ],
)
def test_a_sessions_state_is_read_from_its_title(title: bytes, expected: _State | None) -> None:
    """Only clients' sessions that wait for a request may be stopped."""
    assert _state(title) == expected


def test_sockets_of_a_process_are_found_once_and_by_identity() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        inode = os.fstat(listening.fileno()).st_ino
        found = {tapped.inode: tapped for tapped in tap([os.getpid(), os.getpid()])}
        try:
            assert found[inode].listening
            assert found[inode].socket.getsockname() == listening.getsockname()
            assert found[inode].socket.fileno() != listening.fileno()
        finally:
            for tapped in found.values():
                tapped.socket.close()
        with socket.create_connection(listening.getsockname()) as client:
            (waiting,) = accept_waiting(Tapped(inode, listening))
            assert not waiting.listening
            assert waiting.socket.getpeername() == client.getsockname()
            waiting.socket.close()


def test_a_process_that_has_ended_has_no_sockets() -> None:
    assert tap([2**22 + 1]) == []


def test_what_a_muted_socket_is_sent_arrives_when_it_is_heard_again(filters: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
        with client, server:
            muted = Tapped(0, server)
            muted.drop(1)
            client.sendall(b"lost for a while")
            server.settimeout(0.3)
            with pytest.raises(TimeoutError):
                server.recv(100)
            muted.keep_all()
            muted.keep_all()
            server.settimeout(30)
            assert server.recv(100) == b"lost for a while"


def test_a_socket_that_vanishes_tells_nobody_until_it_is_asked(filters: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
        with client:
            Tapped(0, server).vanish()
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):  # A closed one would have said so.
                client.recv(1)
            client.settimeout(30)
            client.sendall(b"anybody there?")
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_a_place_with_a_blank_is_read_from_the_table_of_mounts() -> None:
    assert _unescaped(r"/tmp/a\040b\134c") == "/tmp/a b\\c"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "packet-loss", "instance": "a", "percent": 0}, "greater than 0"),
        ({"kind": "packet-loss", "instance": "a", "percent": 101}, "less than or equal to 100"),
        ({"kind": "latency", "instance": "a"}, "delay_ms: Field required"),
        ({"kind": "replication-lag", "instance": "a", "lag_s": -1}, "greater than 0"),
        ({"kind": "disk-congestion", "cluster": "a", "maximum_ms": 101}, "equal to 100"),
        ({"kind": "hang", "instance": "a", "for_s": 0}, "for_s: Input should be greater than 0"),
        ({"kind": "hang", "instance": "a", "four_s": 1}, "four_s: Extra inputs"),
        ({"kind": "power-loss"}, "power-loss: name either an instance or a zone"),
        ({"kind": "hung", "instance": "a"}, r"'hung' \(did you mean hang\?\); there are: crash"),
    ],
)
def test_wrong_parameters_are_refused_by_name(fields: dict[str, object], why: str) -> None:
    with pytest.raises(ApiError, match=why):
        parse(fields, DISTURBANCES)
