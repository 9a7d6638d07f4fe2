"""The cluster's own control address: JSON below `/control`, for what AWS has no words for.

| request | does |
|---|---|
| `GET /control/status` | tells everything about the cluster but its password |
| `GET /control/disturbances` | the disturbances in force |
| `GET /control/disturbances/catalogue` | every kind, with the JSON Schema of its parameters |
| `POST /control/disturbances {"kind": KIND, ...}` | begins one, and answers its `id` |
| `DELETE /control/disturbances/ID` | takes one back, by its id or its name; 404: there is none |
| `POST /control/shutdown` | stops the server and removes all its data |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from chaos.errors import GamedayError
from chaos.names import NameServer
from chaos.testcluster.api.engine import ControlledEstate
from chaos.testcluster.disturbances import DISTURBANCES
from chaos.testcluster.disturbances.registry import parse
from chaos.testcluster.records import ApiError, ClusterRecord
from chaos.testcluster.serverless import shown as serverless

PREFIX = "/control/"
Answer = tuple[HTTPStatus, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What the server knows beside the cluster: where it listens and how it paces."""

    api_url: str
    control_url: str
    name_server: NameServer
    profile: str
    seed: int
    pid: int
    directory: str
    ca_file: str
    """The certificate that clients are to trust; empty where servers offer no TLS."""
    why_no_tls: str


class Control:
    """Answers the requests of the control address."""

    def __init__(
        self, estate: ControlledEstate, facts: ServerFacts, shut_down: Callable[[], None]
    ) -> None:
        """Take the estate, the server's facts, and what asks the server to end."""
        self._estate = estate
        self._facts = facts
        self._shut_down = shut_down
        self._routes: Mapping[tuple[str, str], Callable[[str, Mapping[str, Any]], Answer]] = {
            ("GET", "status"): self._status,
            ("GET", "disturbances"): self._disturbances,
            ("GET", "disturbances/catalogue"): self._catalogue,
            ("POST", "disturbances"): self._begin,
            ("DELETE", "disturbances/*"): self._end,
            ("POST", "shutdown"): self._shutdown,
        }

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answer a request below `/control/`; `body` is JSON or empty."""
        name = path.removeprefix(PREFIX).rstrip("/")
        parent, _, last = name.rpartition("/")
        route = self._routes.get((method, name)) or self._routes.get((method, f"{parent}/*"))
        if route is None:
            offered = ", ".join(f"{verb} {PREFIX}{known}" for verb, known in self._routes)
            return _error(HTTPStatus.NOT_FOUND, f"no {method} {path}; offered are {offered}")
        try:
            fields = json.loads(body) if body else {}
        except ValueError as error:
            return _error(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}")
        if not isinstance(fields, dict):
            return _error(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
        try:
            return route(last, fields)
        except ApiError as error:
            return _error(HTTPStatus.BAD_REQUEST, f"{error.code}: {error.message}")
        except GamedayError as error:
            return _error(HTTPStatus.CONFLICT, str(error))

    def _status(self, _: str, __: Mapping[str, Any]) -> Answer:
        return HTTPStatus.OK, status(self._estate.home(), self._facts)

    def _disturbances(self, _: str, __: Mapping[str, Any]) -> Answer:
        active = self._estate.disturbances.active()
        return HTTPStatus.OK, {"disturbances": [one.as_json() for one in active]}

    def _catalogue(self, _: str, __: Mapping[str, Any]) -> Answer:
        return HTTPStatus.OK, {
            kind: {
                "category": cls.category,
                "about": (cls.__doc__ or "").partition("\n")[0],
                "needs": cls.needs,
                "schema": cls.model_json_schema(),
            }
            for kind, cls in DISTURBANCES.items()
        }

    def _begin(self, _: str, fields: Mapping[str, Any]) -> Answer:
        active = self._estate.disturbances.begin(parse(fields, DISTURBANCES))
        return HTTPStatus.ACCEPTED, active.as_json()

    def _end(self, quoted: str, _: Mapping[str, Any]) -> Answer:
        known_as = unquote(quoted)
        if self._estate.disturbances.end(known_as):
            return HTTPStatus.OK, {"id": known_as, "state": "ended"}
        known = ", ".join(one.id for one in self._estate.disturbances.active()) or "none"
        message = f"no disturbance {known_as}; in force: {known}"
        return HTTPStatus.NOT_FOUND, {"id": known_as, "state": "absent", "error": message}

    def _shutdown(self, _: str, __: Mapping[str, Any]) -> Answer:
        self._shut_down()
        return HTTPStatus.ACCEPTED, {"state": "stopping"}


def status(cluster: ClusterRecord, facts: ServerFacts) -> dict[str, Any]:
    """Return what `gameday cluster status --json` shows of a running cluster."""
    return {
        "cluster": cluster.id,
        "state": "running",
        "status": cluster.status,
        "kind": "test",
        "durations": f"modelled (profile {facts.profile}), not AWS's",
        "profile": facts.profile,
        "seed": facts.seed,
        "region": cluster.region,
        "engine": cluster.engine,
        "is_cluster": cluster.is_cluster,
        "global_cluster": cluster.global_cluster,
        "engine_version": cluster.engine_version,
        "api_url": facts.api_url,
        "control_url": facts.control_url,
        "name_server": asdict(facts.name_server),
        "endpoints": {
            "cluster": cluster.cluster_endpoint,
            "reader": cluster.reader_endpoint,
            **{instance.id: instance.endpoint for instance in cluster.instances},
        },
        "custom_endpoints": {e.id: e.endpoint for e in cluster.custom_endpoints},
        "port": cluster.port,
        "user": cluster.user,
        "database": cluster.database,
        "tls": bool(facts.ca_file),
        **({"ca_file": facts.ca_file} if facts.ca_file else {"why_no_tls": facts.why_no_tls}),
        **serverless.cluster_status(cluster, facts.profile),
        "tags": dict(cluster.tags),
        "instances": [
            {
                "id": instance.id,
                "role": "writer" if instance.is_writer else "reader",
                "status": instance.status,
                "endpoint": instance.endpoint,
                "address": instance.address,
                "port": instance.port,
                "pid": instance.pid,
                **serverless.instance_status(instance),
                "promotion_tier": instance.promotion_tier,
                "instance_class": instance.instance_class,
                "availability_zone": instance.availability_zone,
            }
            for instance in cluster.instances
        ],
        "pid": facts.pid,
        "directory": facts.directory,
    }


def _error(code: HTTPStatus, message: str) -> Answer:
    return code, {"error": message}
