"""Only clusters of accounts that are on a list are disturbed."""

from __future__ import annotations

from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    account, allowed = situation.account_id, situation.safety.accounts
    if situation.kind == "test" or account in allowed:
        return None
    listed = f"allowed are {', '.join(allowed)}" if allowed else "no account is"
    return (
        f"account {account} of cluster {situation.topology.cluster} is not on the allow-list "
        f'({listed}); add `accounts: ["{account}"]` to gameday-safety.yaml, '
        f"or set GAMEDAY_ACCOUNTS={account}"
    )


ACCOUNT = Guard("account", "the cluster's account is on the allow-list", _refusal)
