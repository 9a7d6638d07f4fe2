"""Name servers that lie, fail, are late, or move at another pace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from chaos.testcluster.disturbances.base import LONGEST_S, Disturbance, Ending
from chaos.testcluster.names.dns_behaviour import (
    Failure,
    Fate,
    Flap,
    Outcome,
    Rule,
    Stale,
    Ttl,
    WriterBehindReaders,
)
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.aurora.cluster import Cluster
    from chaos.testcluster.estate import Estate

LATEST_S = 60.0
"""How late an answer can be; clients give up long before."""

Probability = Annotated[float, Field(gt=0, le=1)]
Duration = Annotated[float, Field(gt=0, le=LONGEST_S)]


class OfNames(Disturbance):
    """What happens to some of the DNS names, or to all."""

    cluster: str | None = None
    """Only the names of this DB cluster; None: of all of them."""

    endpoint: str | None = None
    """`cluster`, `reader`, an instance, a custom endpoint, or a whole DNS name; None: every name."""

    def names(self, estate: Estate) -> frozenset[str] | None:
        """Return the names it concerns, or None for all, also those that come later.

        Raises:
            ApiError: there is no such cluster, or no such name.
        """
        if self.cluster is None and self.endpoint is None:
            return None
        clusters = clusters_of(estate, self.cluster)
        if self.cluster is None:
            known = frozenset(estate.names())
        else:
            known = frozenset(name for c in clusters for name in c.names())
        if self.endpoint is None:
            return known
        endpoint = self.endpoint.lower().rstrip(".")
        if endpoint == "cluster":
            return frozenset(c.snapshot().cluster_endpoint for c in clusters)
        if endpoint == "reader":
            return frozenset(c.snapshot().reader_endpoint for c in clusters)
        found = frozenset(name for name in known if name == endpoint or _is_of(name, endpoint))
        if not found:
            raise ApiError(
                "DBClusterEndpointNotFoundFault",
                f"no DNS name of {self.endpoint}; say `cluster`, `reader`, an instance, a custom "
                f"endpoint, or one of {', '.join(sorted(known))}",
            )
        return found

    def rule(self, estate: Estate) -> Rule:
        """Return what the name server is to do."""
        raise NotImplementedError

    def begin(self, estate: Estate) -> Ending | None:
        """Put the rule in force."""
        return estate.name_behaviour.add(self.rule(estate))


class DnsStale(OfNames):
    """Names are answered as they were when this began."""

    kind: Literal["dns-stale"] = "dns-stale"
    probability: Probability = 1.0
    """The share of the queries that meet it: name servers of which only some are stale."""

    def rule(self, estate: Estate) -> Rule:
        """Keep the zone as it is."""
        return Stale(estate.names(), self.names(estate), probability=self.probability)


class DnsFlap(OfNames):
    """After each change names are answered new, old, new, and so on; in the end new."""

    kind: Literal["dns-flap"] = "dns-flap"
    period_s: Duration = 1.0
    """How long each answer stands, counted from the first query after the change."""
    times: Annotated[int, Field(ge=1, le=100)] = 1
    """How often the old answer comes back."""

    def rule(self, estate: Estate) -> Rule:
        """Flap at every change from now on."""
        return Flap(
            estate.names(), period_s=self.period_s, times=self.times, names=self.names(estate)
        )


class DnsTtl(OfNames):
    """Names are answered with another time to live."""

    kind: Literal["dns-ttl"] = "dns-ttl"
    ttl_s: Annotated[int, Field(ge=0, le=604_800)]

    def rule(self, estate: Estate) -> Rule:
        """Set it."""
        return Ttl(self.ttl_s, self.names(estate))


class Failing(OfNames):
    """Answers that bear one of the names, alone or in their alias chain, meet one fate."""

    probability: Probability = 1.0
    """The share of the queries that meet it."""

    def fate(self) -> Fate:
        """Return what becomes of an answer."""
        raise NotImplementedError

    def rule(self, estate: Estate) -> Rule:
        """Let answers meet the fate."""
        return Outcome(self.fate(), self.names(estate), probability=self.probability)


class DnsEmpty(Failing):
    """Names exist and have no address: NOERROR without an answer."""

    kind: Literal["dns-empty"] = "dns-empty"

    def fate(self) -> Fate:
        """Answer without data."""
        return Fate(failure=Failure.NODATA)


class DnsNxdomain(Failing):
    """Names do not exist: NXDOMAIN."""

    kind: Literal["dns-nxdomain"] = "dns-nxdomain"

    def fate(self) -> Fate:
        """Deny the name."""
        return Fate(failure=Failure.NXDOMAIN)


class DnsServfail(Failing):
    """Queries for names fail: SERVFAIL."""

    kind: Literal["dns-servfail"] = "dns-servfail"

    def fate(self) -> Fate:
        """Fail."""
        return Fate(failure=Failure.SERVFAIL)


class DnsSlow(Failing):
    """Answers come late; others need not wait for them."""

    kind: Literal["dns-slow"] = "dns-slow"
    delay_s: Annotated[float, Field(gt=0, le=LATEST_S)]

    def fate(self) -> Fate:
        """Answer later."""
        return Fate(delay_s=self.delay_s)


class DnsDrop(Failing):
    """Queries get no answer at all."""

    kind: Literal["dns-drop"] = "dns-drop"

    def fate(self) -> Fate:
        """Say nothing."""
        return Fate(is_dropped=True)


class DnsTruncate(Failing):
    """Answers by UDP are cut, so that clients have to ask again by TCP."""

    kind: Literal["dns-truncate"] = "dns-truncate"

    def fate(self) -> Fate:
        """Cut the answer."""
        return Fate(is_truncated=True)


class ReaderEndpointServesWriter(Disturbance):
    """The reader endpoint hands out the writer, too, as AWS says it may for a while in a failover."""

    kind: Literal["reader-endpoint-serves-writer"] = "reader-endpoint-serves-writer"
    cluster: str | None = None
    """A DB cluster; None: every one there is."""
    after_flip_s: Duration | None = None
    """Only so long after each flip of the cluster endpoint; None: all the time."""
    only: bool = False
    """The writer instead of the readers, not beside them."""

    def begin(self, estate: Estate) -> Ending | None:
        """Put the rule in force."""
        endpoints = {
            record.reader_endpoint: record.cluster_endpoint
            for record in (c.snapshot() for c in clusters_of(estate, self.cluster))
            if record.is_cluster  # An instance has one name.
        }
        rule = WriterBehindReaders(
            estate.names(), endpoints, after_flip_s=self.after_flip_s, only=self.only
        )
        return estate.name_behaviour.add(rule)


class DnsFlipDelay(Disturbance):
    """The cluster endpoint's flip takes so long after a promotion, in failovers that begin from now."""

    kind: Literal["dns-flip-delay"] = "dns-flip-delay"
    cluster: str | None = None
    """A DB cluster; None: every one there is."""
    delay_s: Annotated[float, Field(ge=0, le=LONGEST_S)]

    def begin(self, estate: Estate) -> Ending | None:
        """Fix the delay of the control plane."""
        ends = [
            c.core.pacer.fix("dns_lag", self.delay_s) for c in clusters_of(estate, self.cluster)
        ]

        def end() -> None:
            for one in ends:
                one()

        return end


def clusters_of(estate: Estate, cluster: str | None) -> tuple[Cluster, ...]:
    """Return the clusters of that identifier, in whatever Region, or the instance; all for None.

    Raises:
        ApiError: there is none.
    """
    wanted = None if cluster is None else cluster.lower()
    everybody = (*estate.clusters(), *estate.standalones())
    found = tuple(c for c in everybody if wanted in {None, c.core.spec.id})
    if not found:
        raise ApiError("DBClusterNotFoundFault", f"DBCluster {cluster} not found.")
    return found


def _is_of(name: str, identifier: str) -> bool:
    """Tell whether a DNS name is an instance's or custom endpoint's of that identifier."""
    first, _, rest = name.partition(".")
    is_custom = rest.startswith("cluster-custom-")
    return first == identifier and (is_custom or not rest.startswith("cluster-"))
