"""What the runner and a worker tell each other, in Locust's messages, sealed with a shared token.

Each message carries a code (HMAC-SHA-256) over who sends it, its number, its content, and a random
number that each side chose for this run. So nobody without the token can join, order traffic or add
records, and what was overheard cannot be said again. Content is not encrypted, and none is secret:
passwords cross only from a process to another of the same machine.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MESSAGE = "gameday"
"""The type of all our messages among Locust's own."""
HELLO = "hello"
"""The first note of a worker, and the only one that is taken without the runner's random number."""
RUNNER, WORKER = b"runner", b"worker"
NONCE_BYTES = 16


class State(StrEnum):
    """What a worker says that it is; each comes of an order, but the first two and `delivered`."""

    ASKING = "asking"
    JOINED = "joined"
    SERVING = "serving"
    PAUSED = "paused"
    RUNNING = "running"
    SHAPED = "shaped"
    STOPPED = "stopped"
    DELIVERED = "delivered"
    """Stopped, and every record of it was confirmed."""


class NotOursError(Exception):
    """A message that was not sealed with our token, for this run, or that was heard before."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing told: its kind, its fields (JSON), and binary parts."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[bytes] = ()


class Channel:
    """One side's view of the messages between the runner and one worker.

    A side knows its own random number from the start, and the other's from the other's first message.
    """

    def __init__(self, token: str, worker_id: str, side: bytes) -> None:
        """Take the shared token, Locust's name of the worker, and which side this is."""
        self._key = token.encode()
        self._about = worker_id.encode()
        self._side = side
        self._other = WORKER if side == RUNNER else RUNNER
        self._sent = 0
        self._heard = -1
        self.nonce = secrets.token_bytes(NONCE_BYTES)
        self.other_nonce = b""

    def seal(self, note: Note) -> dict[str, Any]:
        """Return a note as the data of a Locust message."""
        number, self._sent = self._sent, self._sent + 1
        head = json.dumps([note.kind, dict(note.fields)], separators=(",", ":")).encode()
        content = [head, *note.parts]
        code = self._code(self._side, self.nonce + self.other_nonce, number, content)
        return {"nonce": self.nonce, "number": number, "content": content, "code": code}

    def open(self, data: Any) -> Note:
        """Return the note in a message of the other side.

        Raises:
            NotOursError: it is none of ours; nothing of it may be used.
        """
        try:
            nonce, number = bytes(data["nonce"]), int(data["number"])
            content, code = [bytes(part) for part in data["content"]], bytes(data["code"])
        except (KeyError, TypeError, ValueError) as error:
            raise NotOursError("a message that is none of ours") from error
        if self.other_nonce not in {b"", nonce} or number <= self._heard:
            raise NotOursError("a message of another run, or one that was heard before")
        if not self._matches(code, nonce + self.nonce, number, content):
            # A worker that says hello has not heard the runner's number yet.
            if self._side != RUNNER or not self._matches(code, nonce, number, content):
                raise NotOursError("a message that was not sealed with this run's token")
            if json.loads(content[0])[0] != HELLO:
                raise NotOursError("a message of another run")
        self.other_nonce, self._heard = nonce, number
        kind, fields = json.loads(content[0])
        return Note(kind, fields, content[1:])

    def _matches(self, code: bytes, nonces: bytes, number: int, content: Sequence[bytes]) -> bool:
        return hmac.compare_digest(code, self._code(self._other, nonces, number, content))

    def _code(self, side: bytes, nonces: bytes, number: int, content: Sequence[bytes]) -> bytes:
        code = hmac.new(self._key, digestmod="sha256")
        for part in (side, self._about, nonces, str(number).encode(), *content):
            code.update(len(part).to_bytes(8, "big"))
            code.update(part)
        return code.digest()
