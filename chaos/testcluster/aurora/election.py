"""Which reader is promoted: lowest promotion tier, then largest class, then chance, which is seeded.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/ , "Fault tolerance".
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from chaos.testcluster.aurora.core import Member

_SIZES = {"nano": 0.1, "micro": 0.2, "small": 0.5, "medium": 1.0, "large": 2.0, "xlarge": 4.0}


def class_size(instance_class: str) -> float:
    """Return an instance class's size, comparable with others (`db.r6g.2xlarge`: 8.0).

    0 for `db.serverless`, whose size the class does not tell, and for an unknown one.
    """
    match = re.fullmatch(r"db\.[a-z0-9-]+\.(\d*)([a-z]+)", instance_class)
    if match is None:
        return 0.0
    factor = int(match[1]) if match[1] else 1
    return factor * _SIZES.get(match[2], 0.0)


def ranked(candidates: Iterable[Member], rng: random.Random) -> list[Member]:
    """Return the candidates, best first."""
    shuffled = sorted(candidates, key=lambda member: member.id)
    rng.shuffle(shuffled)
    return sorted(
        shuffled,
        key=lambda member: (member.spec.promotion_tier, -class_size(member.spec.instance_class)),
    )
