"""Which instances a custom endpoint leads to."""

from __future__ import annotations

import pytest

from chaos.testcluster.aurora.endpoint_changes import new_group
from chaos.testcluster.aurora.endpoints import Candidate, CustomEndpoint, Group, targets
from chaos.testcluster.records import ApiError

WRITER = Candidate("w", is_writer=True, serves=True)
READERS = (Candidate("r1", is_writer=False, serves=True), Candidate("r2", False, True))
ALL = (WRITER, *READERS)
DOWN = tuple(c._replace(serves=False) for c in ALL)


@pytest.mark.parametrize(
    ("group", "instances", "expected"),
    [
        (Group(kind="ANY"), ALL, ["w", "r1", "r2"]),
        (Group(kind="READER"), ALL, ["r1", "r2"]),
        (Group(kind="READER", excluded=("r1",)), ALL, ["r2"]),
        (Group(kind="READER", static=("w", "r2")), ALL, ["r2"]),
        (Group(kind="ANY", static=("w",)), ALL, ["w"]),
        # A READER's members have all become the writer, or do not serve.
        (Group(kind="READER", static=("w",)), ALL, ["w"]),
        (Group(kind="READER"), (WRITER, *DOWN[1:]), ["w"]),
        # Nothing serves: the name still exists.
        (Group(kind="READER"), DOWN, ["w", "r1", "r2"]),
        (Group(kind="ANY", static=("r1",)), DOWN, ["r1"]),
        # Every member was deleted: a static list stays one.
        (Group(kind="ANY", static=()), ALL, []),
        (Group(kind="ANY", excluded=("w", "r1", "r2")), ALL, []),
    ],
)
def test_an_endpoint_leads_to_its_serving_members_of_its_type(
    group: Group, instances: tuple[Candidate, ...], expected: list[str]
) -> None:
    assert targets(group, instances) == expected


def test_lists_follow_deletions_and_renames_in_force_and_wanted() -> None:
    group = Group(kind="ANY", static=("a", "b"))
    endpoint = CustomEndpoint(
        id="e", resource_id="r", status="modifying", wanted=group, group=Group(kind="ANY")
    )
    assert endpoint.without("a").wanted.static == ("b",)
    assert endpoint.without("a").without("b").wanted.static == ()
    assert endpoint.renamed("a", "c").wanted.static == ("c", "b")
    excluding = Group(kind="READER", excluded=("a",))
    assert excluding.without("a").static is None
    assert excluding.renamed("a", "c").excluded == ("c",)


def test_a_change_replaces_the_list_and_keeps_what_it_does_not_name() -> None:
    before = Group(kind="READER", static=("a",))
    assert new_group("ANY", None, None, before) == Group(kind="ANY", static=("a",))
    assert new_group(None, None, ["b"], before) == Group(kind="READER", excluded=("b",))
    assert new_group(None, None, [], before) == Group(kind="READER")
    assert new_group(None, ["b", "b"], None, before) == Group(kind="READER", static=("b",))
    with pytest.raises(ApiError, match="cannot both"):
        new_group("ANY", ["a"], ["b"])
