"""The process of one test cluster: its servers' parent, its API, its name server.

`python -m chaos.testcluster.process` keeps the contract of `chaos.worker`: its configuration
is the first line of standard input, it says `ready` or `error`, and the end of standard input ends
it. A standing cluster's process leaves its starter first, and is told `detach` once it is ready: from
then on only a signal or its control address ends it.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from chaos.errors import GamedayError, HostError
from chaos.model.access import DatabaseAccess
from chaos.names import NameServer
from chaos.testcluster.api.control import Control, ServerFacts, status
from chaos.testcluster.api.server import ApiServer
from chaos.testcluster.estate import ZONE, Estate
from chaos.testcluster.home import SECONDARY_READERS, start_home
from chaos.testcluster.metrics.sampling import Sampler
from chaos.testcluster.metrics.telemetry import Telemetry
from chaos.testcluster.names.dns import Authority, DnsServer
from chaos.testcluster.postgres.programs import find_postgres
from chaos.testcluster.process.addresses import AddressBlock
from chaos.testcluster.process.directory import make_directory
from chaos.testcluster.process.server_config import DETACH, ServerConfig
from chaos.testcluster.process.state import ClusterState, write_state
from chaos.testcluster.records import ClusterRecord, ClusterSpec

_log = logging.getLogger("chaos.testcluster")


def serve(
    config: ServerConfig, stop: threading.Event, ready: Callable[[ClusterState], None]
) -> None:
    """Run a cluster until `stop` is set; `ready` is told once everything serves.

    Raises:
        GamedayError: it cannot start; nothing is left behind.
    """
    spec = config.spec
    with ExitStack() as stack:
        if config.slot is not None:
            stack.enter_context(config.slot.held())
            stack.callback(config.slot.path.unlink, missing_ok=True)
        block = AddressBlock.lease()
        stack.callback(block.close)
        directory = make_directory(_nodes(spec))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        estate = Estate(block=block, binaries=find_postgres(), directory=directory, seed=spec.seed)
        stack.callback(estate.close)
        password = secrets.token_urlsafe(18)
        start_home(estate, spec, password)
        name_server = NameServer(address=block.control, port=block.dns_port, domain=ZONE)
        stack.callback(_name_server(estate, name_server, spec.seed).close)
        facts = _facts(block, name_server, spec, estate)
        control = Control(estate, facts, stop.set)
        telemetry = Telemetry()
        sampler = Sampler(estate, telemetry)
        sampler.start()
        stack.callback(sampler.close)
        api = ApiServer(estate, control, monitoring=telemetry.monitoring, listener=block.listener)
        stack.callback(api.close)
        state = _state(estate.home(), facts, block, password)
        if config.slot is not None:
            write_state(state, config.slot.path)
        ready(state)
        _log.info("cluster %s serves at %s", spec.id, facts.api_url)
        stop.wait()
        _log.info("cluster %s stops", spec.id)


def _nodes(spec: ClusterSpec) -> int:
    """Return how many servers it takes."""
    if spec.multi_az_instance:
        return 2
    return spec.readers + 1 + (SECONDARY_READERS if spec.secondary_region else 0)


def _name_server(estate: Estate, where: NameServer, seed: int) -> DnsServer:
    authority = Authority(where.domain, estate.names, seed, estate.name_behaviour)
    try:
        return DnsServer(authority, where.address, where.port)
    except OSError as error:
        raise HostError(
            f"the name server cannot use {where.address}:{where.port} ({error.strerror}); free it"
        ) from error


def _facts(
    block: AddressBlock, name_server: NameServer, spec: ClusterSpec, estate: Estate
) -> ServerFacts:
    url = f"http://{block.control}:{block.control_port}"
    return ServerFacts(
        api_url=url,
        control_url=f"{url}/control",
        name_server=name_server,
        profile=spec.profile,
        seed=spec.seed,
        pid=os.getpid(),
        directory=str(estate.ground.directory),
        ca_file=str(estate.security.ca_file or ""),
        why_no_tls=estate.security.why_no_tls,
    )


def _state(
    cluster: ClusterRecord, facts: ServerFacts, block: AddressBlock, password: str
) -> ClusterState:
    shown = status(cluster, facts)
    return ClusterState(
        id=cluster.id,
        region=cluster.region,
        api_url=facts.api_url,
        control=(block.control, block.control_port),
        name_server=facts.name_server,
        access=DatabaseAccess(
            endpoints=shown["endpoints"],
            port=cluster.port,
            user=cluster.user,
            password=password,
            database=cluster.database or "postgres",
            # The harness measures without TLS's share of the processor.
            options={"sslmode": "disable"},
            name_server=facts.name_server,
        ),
        pid=facts.pid,
        pid_created_at=psutil.Process().create_time(),
        directory=facts.directory,
        status=shown,
    )


def _follow_input(stop: threading.Event) -> None:
    """Set `stop` at the end of standard input, unless told to detach before it."""
    # Not by sys.stdin, whose lock a thread that is still reading would hold at the interpreter's end.
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as lines:
        for line in lines:
            if json.loads(line) == DETACH:
                _let_go_of_the_starter()
                return
    stop.set()


def _let_go_of_the_starter() -> None:
    """Give standard input and output back; standard error is the log."""
    with Path(os.devnull).open("r+b", buffering=0) as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _announce(state: ClusterState) -> None:
    _say({"state": "ready", "cluster": state.as_json(), "status": state.status})


def main() -> int:
    """Read the configuration, serve until told to end; the exit status is 0 unless it failed."""
    config = ServerConfig.from_json(json.loads(sys.stdin.readline()))
    if config.slot is not None:
        # The child has no terminal and never will: its session's leader ends here.
        if os.fork() != 0:
            os._exit(0)
        os.chdir("/")
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_follow_input, args=(stop,), name="input", daemon=True).start()
    try:
        serve(config, stop, _announce)
    except GamedayError as error:
        _log.error("cluster %s cannot start: %s", config.spec.id, error)
        _say({"state": "error", "message": str(error)})
        return int(error.exit_code)
    except Exception as error:  # noqa: BLE001 - whoever started us is told, whatever it is
        _log.exception("cluster %s failed", config.spec.id)
        _say({"state": "error", "message": f"{type(error).__name__}: {error}"})
        return 1
    return 0
