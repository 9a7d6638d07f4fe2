"""Values of the shapes in botocore's service models, as hypothesis strategies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.model import Shape
from hypothesis import strategies as st

DEPTH_MAX = 4
LONGEST = 8
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=LONGEST
)
WHEN = st.integers(0, 2**42).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))


def values(  # noqa: PLR0911 - one per type
    shape: Shape, depth: int = 0
) -> st.SearchStrategy[Any]:
    """Values of a shape; a list may be empty, a structure has its required members and another."""
    match shape.type_name:
        case "structure":
            return _structures(shape, depth)
        case "list":
            return st.lists(
                values(shape.member, depth + 1).filter(
                    lambda item: without_empty_structures(item) != {}
                ),
                min_size=shape.metadata.get("min", 0),
                max_size=max(3, shape.metadata.get("min", 0)),
            )
        case "map":
            return st.dictionaries(
                values(shape.key, depth + 1), values(shape.value, depth + 1), max_size=2
            )
        case "string":
            enum = getattr(shape, "enum", ())
            if enum:
                return st.sampled_from(enum)
            least = shape.metadata.get("min", 0)
            return TEXT if not least else TEXT.map(lambda text: text.ljust(least, "x"))
        case "integer" | "long":
            return st.integers(
                shape.metadata.get("min", -(2**31)), shape.metadata.get("max", 2**31)
            )
        case "boolean":
            return st.booleans()
        case "double" | "float":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "timestamp":
            return WHEN
    raise AssertionError(shape.type_name)


def _structures(shape: Shape, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    members = {
        name: values(member, depth + 1)
        for name, member in shape.members.items()
        if depth < DEPTH_MAX or not _is_nested(member) or name in shape.required_members
    }
    if shape.is_tagged_union:
        return st.one_of(*(st.fixed_dictionaries({name: item}) for name, item in members.items()))
    required = {
        name: members.pop(name).filter(lambda item: without_empty_structures(item) != {})
        for name in shape.required_members
    }
    some = st.lists(st.sampled_from(sorted(members)), max_size=5) if members else st.just([])
    return some.flatmap(
        lambda names: st.fixed_dictionaries({**required, **{name: members[name] for name in names}})
    )


def _is_nested(shape: Shape) -> bool:
    return shape.type_name in {"structure", "list", "map"}


def without_empty_structures(value: Any) -> Any:
    """Query cannot say an empty structure, so botocore leaves it out."""
    if isinstance(value, dict):
        kept = {name: without_empty_structures(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item != {}}
    if isinstance(value, list):
        return [without_empty_structures(item) for item in value]
    return value
