"""The one place that builds boto3 clients: Region, endpoint, timeouts; retries are ours.

Region, endpoints, credentials and proxies come from boto3's usual chain unless `ApiAccess` has them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAccess:
    """How to reach AWS's APIs. None leaves a setting to boto3's usual chain."""

    region: str | None = None
    endpoint_url: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)


class Clients:
    """Clients by service and Region, made when they are first needed; safe in threads."""

    def __init__(self, access: ApiAccess) -> None:
        """Read the chain's configuration; no request is sent."""
        self._access = access
        self._lock = threading.Lock()
        self._session = self._new_session()
        self._clients: dict[tuple[str, str | None], Any] = {}

    def get(self, service: str, region: str | None = None) -> Any:
        """Return a client; None is the Region of `ApiAccess` or of the chain.

        Raises:
            BotoCoreError: the chain has no Region, no such profile, or contradicts itself.
        """
        with self._lock:
            region = region or self._session.region_name
            key = (service, region)
            if key not in self._clients:
                self._clients[key] = self._session.client(
                    service,
                    region_name=region,
                    endpoint_url=self._access.endpoint_url,
                    config=Config(
                        connect_timeout=CONNECT_TIMEOUT_S,
                        read_timeout=READ_TIMEOUT_S,
                        retries={"total_max_attempts": 1},
                    ),
                )
            return self._clients[key]

    def reload(self, used: Any) -> bool:
        """Ask the chain for credentials again, after those of the client `used` were refused.

        A client refreshes credentials that know how; those of the environment or of a file it reads
        once, though a person may have renewed the file since.

        Returns:
            Whether there are other credentials now, with which `get` makes new clients.
        """
        with self._lock:
            if used not in self._clients.values():
                return True  # Another thread has done it.
            if self._access.access_key is not None:
                return False
            try:
                session = self._new_session()
                if _identity(session) == _identity(self._session):
                    return False
            except (BotoCoreError, RuntimeError):
                return False  # The refusal that led here says more.
            self._session, self._clients = session, {}
            return True

    def _new_session(self) -> Any:
        return boto3.Session(
            region_name=self._access.region,
            aws_access_key_id=self._access.access_key,
            aws_secret_access_key=self._access.secret_key,
        )


def _identity(session: Any) -> tuple[str, str | None] | None:
    credentials = session.get_credentials()
    if credentials is None:
        return None
    frozen = credentials.get_frozen_credentials()
    return frozen.access_key, frozen.token
