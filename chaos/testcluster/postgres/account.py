"""As whom the servers run: PostgreSQL refuses root, and everybody else runs it as himself.

Root runs it in a user namespace in which root's files belong to an ordinary account (util-linux's
`unshare`): no file changes hands, and programs below a folder that only root may enter still work.
Where namespaces are forbidden (Docker's default profile), it runs as that account itself, to which
the data directories are then given.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from chaos.errors import HostError
from chaos.testcluster.postgres.programs import PostgresBinaries

_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """Starts server programs so that they run unprivileged.

    `prefix` stands before every command; `uid` and `gid` are what to become, or None.
    """

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    @property
    def other(self) -> bool:
        """Whether the servers run as another account, to which their files must belong."""
        return self.uid is not None

    def run(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run one program to its end and return what it wrote to standard output.

        Raises:
            HostError: it failed or took longer than `timeout_s`; with the end of its own message.
        """
        name = Path(command[0]).name
        process = subprocess.Popen(
            [*self.prefix, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env=_environment(environment),
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=self._extra_groups(),
        )
        with process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise HostError(
                    f"{name} did not end within {timeout_s:g} s; is this machine overloaded?"
                ) from None
        if process.returncode != 0:
            last = " ".join(stderr.strip().splitlines()[-3:])
            raise HostError(f"{name} failed with exit status {process.returncode}: {last}")
        return stdout

    def spawn(self, command: Sequence[str], *, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a server in a session of its own, so that a terminal's Ctrl-C does not reach it."""
        return subprocess.Popen(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment(None),
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=self._extra_groups(),
        )

    def give(self, path: Path) -> None:
        """Make `path` and everything below it belong to the servers' account."""
        if self.uid is None or self.gid is None:
            return
        os.chown(path, self.uid, self.gid)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, self.uid, self.gid, follow_symlinks=False)

    def _extra_groups(self) -> list[int] | None:
        return None if self.uid is None else []


def server_account(binaries: PostgresBinaries) -> Account:
    """Return the account for this process's servers.

    Raises:
        HostError: this is root, and neither way of not being root works here.
    """
    if os.geteuid() != 0:
        return Account()
    uid, gid = _ordinary_account()
    candidates = []
    unshare = shutil.which("unshare")
    if unshare is not None:
        prefix = (unshare, "--user", f"--map-user={uid}", f"--map-group={gid}")
        candidates.append(Account(prefix=prefix))
    candidates.append(Account(uid=uid, gid=gid))
    why = ""
    for account in candidates:
        try:
            account.run([binaries.program("postgres"), "--version"], timeout_s=10)
        except (HostError, OSError) as error:
            why = str(error)
        else:
            return account
    raise HostError(
        "PostgreSQL refuses to run as root, and neither a user namespace nor another account works "
        f"here ({why}); run as an ordinary user"
    )


def _ordinary_account() -> tuple[int, int]:
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise HostError(
        f"PostgreSQL refuses to run as root, and this machine has no account named "
        f"{' or '.join(_ACCOUNTS)}; run as an ordinary user"
    )


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """Return our own environment without libpq's variables, which would redirect the programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", **(more or {})}
