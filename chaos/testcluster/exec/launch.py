"""Starting a program beside a test cluster, and being to it what a shell's `env` is.

Standard input, output and the terminal are the program's own; its exit status and the signal that
ends it become ours. The process that enters namespaces and becomes the program is a fork of this one, so
no thread of ours may run before; this one stays outside, answers the program's calls and names, and
passes signals on.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

from chaos.errors import DefinitionError, HostError
from chaos.names import NameServer
from chaos.testcluster.exec import kernel, namespace
from chaos.testcluster.exec.calls import Calls, Roads
from chaos.testcluster.exec.gate import Gate

_MESSAGE_MAX = 4096
_PASSED_ON = {
    *(signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGUSR2),
}
_ADVICE = (
    "what is needed: Linux 5.14 or later on x86_64 or aarch64, whose seccomp is not forbidden here; "
    "or, for dynamically linked programs, LD_PRELOAD=libnss_wrapper.so (docs/clients.md)"
)


class Mode(StrEnum):
    """How far a program is kept apart."""

    AUTO = "auto"
    NAMESPACE = "namespace"
    INTERCEPT = "intercept"


class _CannotEnter(Exception):  # noqa: N818 - an outcome: the next mode is tried
    """The kernel refused a mode."""


@dataclass(frozen=True, slots=True)
class _Program:
    """The running program: its process id and what reads its calls."""

    pid: int
    notices: kernel.Notices


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    name_server: NameServer,
    mode: Mode = Mode.AUTO,
) -> int:
    """Run a program to its end; return its wait status.

    Raises:
        DefinitionError: there is no such program, or it cannot be run.
        HostError: the kernel allows no mode of those asked for.
    """
    refusals = []
    for one in (Mode.NAMESPACE, Mode.INTERCEPT) if mode is Mode.AUTO else (mode,):
        try:
            return _run(command, environment, name_server, one)
        except _CannotEnter as why:
            refusals.append(f"mode {one.value}: {why}")
    raise HostError(
        f"this machine's kernel allows no `cluster exec` ({'; '.join(refusals)}); {_ADVICE}"
    )


def _run(
    command: Sequence[str], environment: Mapping[str, str], name_server: NameServer, mode: Mode
) -> int:
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="gameday-exec-")
        folder = Path(stack.enter_context(temporary))
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        pid = os.fork()
        if pid == 0:
            ours.close()
            _become(command, environment, mode=mode, folder=folder, told=theirs, mask=before)
        theirs.close()
        notices, queries = _entered(ours, pid)
        temporary.cleanup()  # What is mounted stays, and now nothing of it does if we are killed.
        tcp = (name_server.address, name_server.port)
        if queries is None:
            queries = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            queries.bind(("127.0.0.1", 0))
            roads = Roads(udp=queries.getsockname(), tcp=tcp)
        else:
            roads = Roads(udp=None, tcp=tcp)
        stack.callback(Gate(queries, name_server).close)
        Calls(notices, roads)
        _require_started(ours, pid, command[0])
        return _await_end(pid)


def _entered(ours: socket.socket, pid: int) -> tuple[kernel.Notices, socket.socket | None]:
    """Return what the new process sends once it is apart.

    Raises:
        _CannotEnter: it could not.
    """
    message, descriptors, _, _ = socket.recv_fds(ours, _MESSAGE_MAX, 2)
    if not descriptors:
        os.waitpid(pid, 0)
        raise _CannotEnter(message.decode() or "it ended without a word")
    queries = socket.socket(fileno=descriptors[1]) if len(descriptors) > 1 else None
    return kernel.Notices(descriptors[0]), queries


def _require_started(ours: socket.socket, pid: int, name: str) -> None:
    """Return once the process has become the program.

    Raises:
        DefinitionError: it could not.
    """
    failure = ours.recv(_MESSAGE_MAX)
    if failure:
        os.waitpid(pid, 0)
        raise DefinitionError(f"cannot run {name}: {failure.decode()}")


def _await_end(pid: int) -> int:
    """Pass signals on until the program ends; return its wait status.

    What a terminal sends reaches the program without us, so only what processes send is passed on.
    """
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        told = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if told.si_signo != signal.SIGCHLD and told.si_code <= 0:
            os.kill(pid, told.si_signo)


def _become(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    mode: Mode,
    folder: Path,
    told: socket.socket,
    mask: Iterable[int],
) -> NoReturn:
    """In the new process: enter the mode, hand over the descriptors, become the program."""
    try:
        kernel.end_with_parent(signal.SIGTERM)
        here = kernel.machine()
        if mode is Mode.NAMESPACE:
            queries = namespace.enter(folder)
            calls = kernel.intercept([here.socket, here.connect])
            socket.send_fds(told, [b"entered"], [calls, queries.fileno()])
            queries.close()
        else:
            calls = kernel.intercept([here.connect])
            socket.send_fds(told, [b"entered"], [calls])
        os.close(calls)
    except BaseException as error:  # noqa: BLE001 - whoever waits is told, whatever it is
        told.send(_reason(error).encode()[:_MESSAGE_MAX])
        os._exit(1)
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these.
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - the user's program
    except BaseException as error:  # noqa: BLE001 - as above
        missing = isinstance(error, FileNotFoundError)
        why = "there is no such program" if missing else _reason(error)
        told.send(why.encode()[:_MESSAGE_MAX])
    os._exit(127)


def _reason(error: BaseException) -> str:
    why = error.strerror if isinstance(error, OSError) else None
    return why or f"{type(error).__name__}: {error}"


def end_as(status: int) -> int:
    """Return the exit status of a program that ended so; by a signal, end this process by it too."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -code not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code
