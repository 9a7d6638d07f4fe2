"""The data directory that every node starts as a copy of: made once, cached, shared safely.

A template belongs to one PostgreSQL version and one content (surface, roles, layout), which name its
folder. It is built beside its final place and renamed into it, so a reader never sees half of one;
of two builders the first wins and the other uses what it finds. Nodes copied from one cleanly shut
down directory have one system identifier and can stream from each other at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from chaos.errors import HostError
from chaos.testcluster.postgres.account import Account
from chaos.testcluster.postgres.configuration import (
    ADMIN_ROLE,
    CONTROL_ROLE,
    DATABASE,
    SEGMENT_MB,
    STREAM_ROLE,
    TOKEN_ROLE,
)
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.process.directory import make_directory

_SURFACE = Path(__file__).with_name("surface.sql")
_LAYOUT = 4
_STRATEGY_MAJOR = 15
_GRANT_MAJOR = 16
_BUILD_TIMEOUT_S = 60.0
_COPY_TIMEOUT_S = 60.0

_ROLES = f"""
CREATE ROLE {STREAM_ROLE} LOGIN REPLICATION PASSWORD '{{stream_password}}';

CREATE ROLE {ADMIN_ROLE} LOGIN CREATEDB CREATEROLE;

GRANT rds_superuser TO {ADMIN_ROLE} WITH ADMIN OPTION;

{{tokens}}DROP DATABASE postgres;

CREATE DATABASE postgres{{strategy}};

CREATE DATABASE {DATABASE} OWNER {ADMIN_ROLE}{{strategy}};

"""


# What this PostgreSQL was built with, which it alone knows for certain.
_QUESTIONS = """
SELECT current_setting('ssl_library') <> '' AS tls;

SELECT count(error) = 0 AS ldap FROM pg_catalog.pg_hba_file_rules;

"""


@dataclass(frozen=True, slots=True)
class Template:
    """A cleanly shut down data directory, packed, and the passwords of its two internal roles.

    Packed, because unpacking one file takes a third of the time of copying 1,300. `tls` and `ldap`
    say whether PostgreSQL was built with them.
    """

    archive: Path
    control_password: str = field(repr=False)
    stream_password: str = field(repr=False)
    tls: bool
    ldap: bool

    def copy_to(self, data: Path, account: Account) -> None:
        """Make `data`, which must not exist, a copy that is private to the servers' account.

        Raises:
            HostError: unpacking failed, as where the disk is full.
        """
        data.mkdir(mode=0o700)
        # Not Python's tarfile: these run in parallel, beside the interpreter's lock.
        Account().run(
            ["tar", "-x", "-p", "-f", str(self.archive), "-C", str(data)],
            timeout_s=_COPY_TIMEOUT_S,
        )
        account.give(data)


def cached_template(binaries: PostgresBinaries, account: Account) -> Template:
    """Return the template for this PostgreSQL, building it where the user's cache has none yet.

    Raises:
        HostError: the cache folder cannot be written, or PostgreSQL cannot make a data directory.
    """
    cache = _cache_folder()
    place = cache / f"{binaries.version}-{_content_hash(binaries)}"
    found = _open(place)
    if found is not None:
        return found
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
    except OSError as error:
        raise HostError(
            f"cannot write the template cache {cache}: {error.strerror}; set XDG_CACHE_HOME to a "
            "folder that can be written"
        ) from error
    try:
        _build(building, binaries, account)
        try:
            building.rename(place)
        except OSError:
            # Another builder was first; its template is as good as ours.
            if not place.is_dir():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    found = _open(place)
    if found is None:
        raise HostError(f"the template {place} is incomplete; remove that folder and try again")
    return found


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "gameday" / "templates"


def _content_hash(binaries: PostgresBinaries) -> str:
    digest = hashlib.sha256()
    for part in (
        str(_LAYOUT),
        str(SEGMENT_MB),
        _ROLES,
        _QUESTIONS,
        _SURFACE.read_text(),
        str(binaries.directory),
    ):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _open(place: Path) -> Template | None:
    try:
        facts = json.loads((place / "facts.json").read_text())
        return Template(place / "data.tar", **facts)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise HostError(
            f"cannot read the template {place} ({error}); remove that folder and try again"
        ) from error


def _build(folder: Path, binaries: PostgresBinaries, account: Account) -> None:
    """Fill `folder` with `data.tar` and `facts.json`."""
    work = make_directory(1)
    try:
        facts = _initialise(work, binaries, account)
        Account().run(
            ["tar", "-c", "-f", str(folder / "data.tar"), "-C", str(work / "data"), "."],
            timeout_s=_COPY_TIMEOUT_S,
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    file = folder / "facts.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(facts))


def _initialise(work: Path, binaries: PostgresBinaries, account: Account) -> dict[str, str | bool]:
    """Make the data directory `work/data`; return a `Template`'s fields but the archive."""
    control, stream = secrets.token_hex(16), secrets.token_hex(16)
    password_file = work / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(control + "\n")
    access = work / "access"
    access.write_text("host all all 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapprefix=x\n")
    account.give(work)
    data = str(work / "data")
    account.run(
        [
            *(binaries.program("initdb"), "--pgdata", data, "--no-sync"),
            *("--username", CONTROL_ROLE, "--pwfile", str(password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
            *("--wal-segsize", str(SEGMENT_MB)),
        ],
        timeout_s=_BUILD_TIMEOUT_S,
    )
    # -j: statements end at an empty line; -O: pg_settings is a system view.
    said = account.run(
        [
            *(binaries.program("postgres"), "--single", "-j", "-O", "-D", data),
            *("-c", "fsync=off", "-c", "exit_on_error=on", "-c", f"hba_file={access}"),
            *("-c", f"min_wal_size={2 * SEGMENT_MB}MB", "template1"),
        ],
        stdin=_SURFACE.read_text() + _roles(binaries, stream) + _QUESTIONS,
        timeout_s=_BUILD_TIMEOUT_S,
    )
    return {
        "control_password": control,
        "stream_password": stream,
        "tls": 'tls = "t"' in said,
        "ldap": 'ldap = "t"' in said,
    }


def _roles(binaries: PostgresBinaries, stream_password: str) -> str:
    return _ROLES.format(
        stream_password=stream_password,
        # The default since 15 writes whole databases into the WAL, which every node would copy.
        strategy=" STRATEGY file_copy" if binaries.major >= _STRATEGY_MAJOR else "",
        # Since 16, only whoever may pass a role on can grant it.
        tokens=(
            f"GRANT {TOKEN_ROLE} TO {ADMIN_ROLE} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;\n\n"
            if binaries.major >= _GRANT_MAJOR
            else ""
        ),
    )
