"""Pages and filters hold for whatever items come and go; identifiers follow RDS's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.testcluster.api.selection import matching, page
from chaos.testcluster.identifiers import arn, bare, checked, is_identifier, parse_arn
from chaos.testcluster.records import ApiError

KEYS = st.sets(st.text(min_size=1, max_size=4), max_size=120)


@given(KEYS, st.integers(20, 100))
def test_pages_give_every_item_once_and_in_order(keys: set[str], size: int) -> None:
    items = [(key, key) for key in keys]
    seen: list[str] = []
    parameters: dict[str, object] = {"MaxRecords": size}
    while True:
        found, marker = page(items, parameters)
        assert len(found) <= size
        seen += found
        if marker is None:
            break
        parameters["Marker"] = marker
    assert seen == sorted(keys)


@given(KEYS, KEYS, st.integers(20, 100))
def test_a_change_between_pages_loses_none_that_stayed(
    keys: set[str], changed: set[str], size: int
) -> None:
    first, marker = page([(key, key) for key in keys], {"MaxRecords": size})
    if marker is None:
        return
    after = keys ^ changed
    second, _ = page([(key, key) for key in after], {"MaxRecords": 100, "Marker": marker})
    stayed = sorted(key for key in keys & after if key > first[-1])
    assert [key for key in second if key in stayed][:100] == stayed[: len(second)]


def test_a_filter_passes_any_of_its_values_and_all_filters_must_pass() -> None:
    fields = {"size": lambda n: (str(n),), "parity": lambda n: ("even" if n % 2 == 0 else "odd",)}
    kept = matching(
        range(6),
        [{"Name": "size", "Values": ["1", "2", "4"]}, {"Name": "parity", "Values": ["EVEN"]}],
        fields,
    )
    assert kept == [2, 4]


@pytest.mark.parametrize("name", ["a", "orders", "Orders-2", "a" * 63, "a-1-b"])
def test_valid_identifiers_are_stored_in_lower_case(name: str) -> None:
    assert checked(name, "DBInstanceIdentifier") == name.lower()


@pytest.mark.parametrize("name", ["", "1a", "-a", "a-", "a--b", "a_b", "a.b", "ä", "a" * 64, "a\n"])
def test_invalid_identifiers_are_refused_in_aws_s_words(name: str) -> None:
    assert not is_identifier(name)
    with pytest.raises(ApiError, match="must begin with a letter"):
        checked(name, "DBInstanceIdentifier")


def test_an_arn_names_what_it_names_and_nothing_else() -> None:
    cluster = arn("eu-west-1", "000000000000", "cluster", "orders")
    assert parse_arn(cluster) == ("cluster", "orders")
    assert bare(cluster, "cluster") == bare("ORDERS", "cluster") == "orders"
    assert bare(cluster, "db") == cluster, "the ARN of a cluster is no instance"
    assert parse_arn("orders") is None
    assert parse_arn("arn:aws:s3:eu-west-1:000000000000:cluster:orders") is None
