"""The cluster's own control address: JSON below `/control`, for what AWS has no words for.

| request | does |
|---|---|
| `GET /control/status` | tells everything about the cluster but its password |
| `POST /control/crash {"instance": ID}` | kills one instance's server processes |
| `POST /control/shutdown` | stops the cluster and removes its data |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from chaos.names import NameServer
from chaos.testcluster.api.engine import Engine
from chaos.testcluster.records import ApiError, ClusterRecord

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


class Control:
    """Answers the requests of the control address."""

    def __init__(self, engine: Engine, facts: ServerFacts, shut_down: Callable[[], None]) -> None:
        """Take the cluster, the server's facts, and what asks the server to end."""
        self._engine = engine
        self._facts = facts
        self._shut_down = shut_down
        self._routes: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Answer]] = {
            ("GET", "status"): self._status,
            ("POST", "crash"): self._crash,
            ("POST", "shutdown"): self._shutdown,
        }

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answer a request below `/control/`; `body` is JSON or empty."""
        name = path.removeprefix(PREFIX).rstrip("/")
        route = self._routes.get((method, name))
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
            return route(fields)
        except ApiError as error:
            return _error(HTTPStatus.BAD_REQUEST, f"{error.code}: {error.message}")

    def _status(self, _: Mapping[str, Any]) -> Answer:
        return HTTPStatus.OK, status(self._engine.snapshot(), self._facts)

    def _crash(self, fields: Mapping[str, Any]) -> Answer:
        instance = fields.get("instance")
        if not isinstance(instance, str):
            return _error(HTTPStatus.BAD_REQUEST, 'name the instance: {"instance": "ID"}')
        self._engine.crash(instance.lower())
        return HTTPStatus.ACCEPTED, {"instance": instance.lower(), "state": "crashing"}

    def _shutdown(self, _: Mapping[str, Any]) -> Answer:
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
        "engine_version": cluster.engine_version,
        "api_url": facts.api_url,
        "control_url": facts.control_url,
        "name_server": asdict(facts.name_server),
        "endpoints": {
            "cluster": cluster.cluster_endpoint,
            "reader": cluster.reader_endpoint,
            **{instance.id: instance.endpoint for instance in cluster.instances},
        },
        "port": cluster.port,
        "user": cluster.user,
        "database": cluster.database,
        "serverless": asdict(cluster.serverless) if cluster.serverless else None,
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
                "capacity_acu": instance.capacity_acu,
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
