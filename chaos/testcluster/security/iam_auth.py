"""IAM database authentication: whether a password is a token that lets its bearer connect.

A token is the presigned URL of a request that is never sent, without its scheme, as every SDK's
`generate_db_auth_token` makes it:
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.Connecting.html .
Everything that the token says is checked: action, user, host, port, Region, age. Any credentials are
good, as they are for the test cluster's API; a signature can only be checked where the secret is known,
which is that of the documented key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

ACCESS_KEY = "GAMEDAYTESTCLUSTER"
SECRET_KEY = "gameday-test-cluster-not-a-secret"  # noqa: S105 - it says so itself

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "rds-db"
_LIFETIME_MAX_S = 900
_SKEW = timedelta(minutes=5)
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_PARAMETERS = frozenset(
    {
        *("Action", "DBUser", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date"),
        *("X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a token opens: an instance, by any of its names and its port."""

    hosts: Collection[str]
    port: int
    region: str


class TokenRefused(Exception):  # noqa: N818 - an outcome
    """A token does not let its bearer in; says why, which the client is not told."""


def require_valid(token: str, user: str, door: Door, now: datetime) -> None:
    """Return if the token opens the door to a user.

    Raises:
        TokenRefused: it does not.
    """
    place, _, query = token.partition("?")
    netloc, _, path = place.lower().partition("/")
    pairs = parse_qsl(query, keep_blank_values=True)
    said = dict(pairs)
    if len(said) != len(pairs):
        raise TokenRefused("a parameter is there twice")
    missing = _PARAMETERS - said.keys()
    if missing:
        raise TokenRefused(f"it is no token: {', '.join(sorted(missing))} missing")
    if said["Action"] != "connect":
        raise TokenRefused(f"its action is {said['Action']!r}, not 'connect'")
    if said["DBUser"] != user:
        raise TokenRefused(f"it is for user {said['DBUser']!r}")
    _require_place(netloc, path, door)
    scope = _require_scope(said, door.region)
    _require_age(said, now)
    if not _SIGNATURE.fullmatch(said["X-Amz-Signature"]):
        raise TokenRefused("its signature is none")
    if scope[0] == ACCESS_KEY and not hmac.compare_digest(
        said["X-Amz-Signature"], _signature(netloc, said, scope)
    ):
        raise TokenRefused(f"its signature is not that of {ACCESS_KEY}")


def _require_place(netloc: str, path: str, door: Door) -> None:
    host, _, port = netloc.rpartition(":")
    if host not in door.hosts or port != str(door.port):
        raise TokenRefused(f"it is for {netloc}, not for this instance")
    if path:
        raise TokenRefused(f"its path is /{path}")


def _require_scope(said: Mapping[str, str], region: str) -> list[str]:
    """Return access key, date, Region, service and terminator of the credential."""
    if said["X-Amz-Algorithm"] != _ALGORITHM:
        raise TokenRefused(f"its algorithm is {said['X-Amz-Algorithm']!r}")
    scope = said["X-Amz-Credential"].rsplit("/", 4)
    date = said["X-Amz-Date"][:8]
    if len(scope) != 5 or scope[1:] != [date, region, _SERVICE, "aws4_request"]:  # noqa: PLR2004
        raise TokenRefused(
            f"its credential is for {'/'.join(scope[1:])}, not {date}/{region}/{_SERVICE}"
        )
    if "host" not in said["X-Amz-SignedHeaders"].split(";"):
        raise TokenRefused("its host is not signed")
    return scope


def _require_age(said: Mapping[str, str], now: datetime) -> None:
    try:
        made = datetime.strptime(said["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lifetime_s = int(said["X-Amz-Expires"])
    except ValueError as error:
        raise TokenRefused(f"its times are none: {error}") from error
    if not 0 < lifetime_s <= _LIFETIME_MAX_S:
        raise TokenRefused(f"it wants to live {lifetime_s} s; {_LIFETIME_MAX_S} s are the most")
    if now > made + timedelta(seconds=lifetime_s):
        raise TokenRefused(f"it has expired: made at {made:%H:%M:%S}, for {lifetime_s} s")
    if made > now + _SKEW:
        raise TokenRefused(f"it is of the future: {made:%Y-%m-%d %H:%M:%S}")


def _signature(netloc: str, said: Mapping[str, str], scope: list[str]) -> str:
    """Return the signature of a presigned request with our key (Signature Version 4)."""
    signed = sorted((n, v) for n, v in said.items() if n != "X-Amz-Signature")
    query = "&".join(f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in signed)
    nothing = hashlib.sha256(b"").hexdigest()
    request = f"GET\n/\n{query}\nhost:{netloc}\n\nhost\n{nothing}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join((_ALGORITHM, said["X-Amz-Date"], "/".join(scope[1:]), digest))
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope[1:]:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
