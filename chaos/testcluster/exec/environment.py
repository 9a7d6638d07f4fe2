"""The variables with which a program finds the test cluster, and cannot find AWS.

| Variables | are |
|---|---|
| `PGHOST` `PGPORT` `PGUSER` `PGPASSWORD` `PGDATABASE` | the cluster endpoint and its first user |
| `PGSSLROOTCERT` | the certificate authority of the cluster's servers, where they offer TLS |
| `AWS_ENDPOINT_URL` `AWS_REGION` `AWS_DEFAULT_REGION` | the test cluster's API |
| `AWS_ACCESS_KEY_ID` `AWS_SECRET_ACCESS_KEY` | invented, and known to be |
| `AWS_CONFIG_FILE` `AWS_SHARED_CREDENTIALS_FILE` | nothing |
| `AWS_EC2_METADATA_DISABLED` | `true` |

Every other variable of libpq and of the AWS SDKs is taken away, and so are proxies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from chaos.model.access import DatabaseAccess
from chaos.testcluster.security.iam_auth import ACCESS_KEY, SECRET_KEY

_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy"}
_LIBPQ = re.compile(r"PG[A-Z]+")  # `PG_COLOR` and the like lead nowhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a program is told of a test cluster; `ca_file` is empty where servers have no TLS."""

    access: DatabaseAccess
    api_url: str
    region: str
    ca_file: str


def environment(place: Place, ours: Mapping[str, str]) -> dict[str, str]:
    """Return `ours` without what would lead a program elsewhere, and with the cluster's."""
    kept = {name: value for name, value in ours.items() if not _misleading(name)}
    access = place.access
    told = {
        "PGHOST": access.endpoints["cluster"],
        "PGPORT": str(access.port),
        "PGUSER": access.user,
        "PGPASSWORD": access.password,
        "PGDATABASE": access.database,
        "AWS_ENDPOINT_URL": place.api_url,
        "AWS_REGION": place.region,
        "AWS_DEFAULT_REGION": place.region,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if place.ca_file:
        told["PGSSLROOTCERT"] = place.ca_file
    return {**kept, **told}


def _misleading(name: str) -> bool:
    return name.startswith("AWS_") or _LIBPQ.fullmatch(name) is not None or name.lower() in _PROXIES
