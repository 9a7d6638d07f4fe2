"""Reads an experiment file strictly: every complaint is `file:line:column: what, what is allowed`."""

from __future__ import annotations

import json
import os
import re
import reprlib
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from chaos.definition.experiment import Experiment
from chaos.definition.steps import NEITHER
from chaos.definition.workload import Profile
from chaos.errors import DefinitionError, nearest

M = TypeVar("M", bound=BaseModel)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SIZE_MAX = 1_000_000


def shipped() -> dict[str, Path]:
    """Return the experiments that come with the product, by name."""
    for folder in (
        Path(str(resources.files("chaos"))) / "shipped_experiments",
        Path(__file__).resolve().parents[2] / "experiments",
    ):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find(name_or_file: str) -> Path:
    """Return the file that an argument means: a path, or the name of a shipped experiment.

    Raises:
        DefinitionError: neither; names the nearest shipped one.
    """
    path = Path(name_or_file)
    if path.is_file():
        return path
    known = shipped()
    if name_or_file in known:
        return known[name_or_file]
    raise DefinitionError(
        f"{name_or_file}: no such file and no shipped experiment; "
        f"shipped are {', '.join(known) or 'none'}{nearest(name_or_file, known)}"
    )


def load(
    path: Path,
    variables: Mapping[str, str] | None = None,
    *,
    arms: Collection[str] | None = None,
    profiles: Mapping[str, Profile] | None = None,
) -> Experiment:
    """Read an experiment file.

    Args:
        path: the file.
        arms: names that `workload.arms` may use; None: any.
        profiles: the same for `profile`, with the streams that objectives may name; None: any.
        variables: values of `${NAME}` that win over the environment (`--set NAME=VALUE`).

    Raises:
        DefinitionError: it cannot be read or is wrong; every fault is a line of the message.
    """
    tree = parse(path, "an experiment is a mapping with version, name, claim...")
    unused = set(variables or {})
    tree = _substitute(tree, {**os.environ, **(variables or {})}, path, unused)
    if unused:
        raise DefinitionError(
            f"{path}: --set {', '.join(sorted(unused))}: the file has no such ${{NAME}}"
        )
    return validated(tree, path, Experiment, context={"arms": arms, "profiles": profiles})


def validated(
    tree: CommentedMap, path: Path, model: type[M], *, context: Mapping[str, Any] | None = None
) -> M:
    """Make a model of what `parse` returned.

    Raises:
        DefinitionError: it is wrong; every fault is a line of the message.
    """
    text = json.dumps(tree, default=str)  # YAML reads dates, JSON has none.
    try:
        return model.model_validate_json(text, strict=True, context=context)
    except ValidationError as error:
        lines = []
        for problem in _root_causes(error):
            location = problem["loc"]
            if problem["type"] == "union_tag_invalid":
                location = (*location, problem["ctx"]["discriminator"].strip("'"))
            at, told = _position(tree, location, problem["type"]), _told(tree, location)
            lines.append(f"{path}:{at}: {told}{_explain(problem, model)}")
        raise DefinitionError("\n".join(dict.fromkeys(lines))) from error


def _root_causes(error: ValidationError) -> list[Any]:
    """Leave out a list's complaint of being too short where its entries have complaints already."""
    problems: list[Any] = error.errors()
    return [
        problem
        for problem in problems
        if problem["type"] != "too_short"
        or not any(
            other is not problem and other["loc"][: len(problem["loc"])] == problem["loc"]
            for other in problems
        )
    ]


def parse(path: Path, form: str) -> CommentedMap:
    """Read a YAML file that is a mapping; `form` says what it is, where it is none.

    Raises:
        DefinitionError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read: {error}") from error
    if len(text) > _SIZE_MAX:
        raise DefinitionError(f"{path}: larger than {_SIZE_MAX} characters; {form}")
    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        problem = (error.problem or "not YAML").splitlines()[0]
        raise DefinitionError(f"{path}:{at}: {problem}") from error
    except YAMLError as error:
        raise DefinitionError(f"{path}:1:1: not YAML: {error}") from error
    if not isinstance(tree, CommentedMap):
        raise DefinitionError(f"{path}:1:1: {form}")
    return tree


def _substitute(node: Any, values: Mapping[str, str], path: Path, unused: set[str]) -> Any:
    """Replace `${NAME}` and `${NAME:-default}` in every scalar, keeping positions."""
    if isinstance(node, CommentedMap):
        for key in node:
            node[key] = _at(node, key, values, path, unused)
    elif isinstance(node, CommentedSeq):
        for index in range(len(node)):
            node[index] = _at(node, index, values, path, unused)
    return node


def _at(parent: Any, key: Any, values: Mapping[str, str], path: Path, unused: set[str]) -> Any:
    node = parent[key]
    if not isinstance(node, str) or "${" not in node:
        return _substitute(node, values, path, unused)

    def value_of(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        unused.discard(name)
        if name in values:
            return values[name]
        if default is None:
            line, column = _mark(parent, key)
            raise DefinitionError(
                f"{path}:{line}:{column}: ${{{name}}} is not set; set it in the environment "
                f"or with --set {name}=VALUE"
            )
        return default

    whole = _VARIABLE.fullmatch(node)
    text = _VARIABLE.sub(value_of, node)
    return YAML(typ="safe", pure=True).load(text) if whole else text


def _mark(parent: Any, key: Any) -> tuple[int, int]:
    """Return line and column (from 1) of a key's value, or of the key where it has none."""
    try:
        if isinstance(parent, CommentedMap):
            line, column = parent.lc.value(key)
        else:
            line, column = parent.lc.item(key)
    except (KeyError, TypeError, AttributeError):
        line, column = parent.lc.line, parent.lc.col
    return line + 1, column + 1


def _walk(tree: Any, location: Sequence[int | str]) -> tuple[Any, Any, list[str]]:
    """Follow an error's location; union tags in it are no keys. Return parent, key, spelled path."""
    parent, key, node = None, None, tree
    spelled: list[str] = []
    for part in location:
        inside = (isinstance(node, CommentedMap) and part in node) or (
            isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node)
        )
        if inside:
            parent, key, node = node, part, node[part]
            spelled.append(f"[{part}]" if isinstance(part, int) else f".{part}")
    return parent, key, spelled


def _position(tree: CommentedMap, location: Sequence[int | str], kind: str) -> str:
    parent, key, _ = _walk(tree, location)
    if parent is None:
        return "1:1"
    if kind == "extra_forbidden" and isinstance(parent, CommentedMap):
        line, column = parent.lc.key(key)
        return f"{line + 1}:{column + 1}"
    line, column = _mark(parent, key)
    return f"{line}:{column}"


def _told(tree: CommentedMap, location: Sequence[int | str]) -> str:
    _, _, spelled = _walk(tree, location)
    path = "".join(spelled).lstrip(".")
    return f"{path}: " if path else ""


def _explain(problem: Any, model: type[BaseModel]) -> str:
    kind, context, location = problem["type"], problem.get("ctx", {}), problem["loc"]
    if kind == "extra_forbidden":
        allowed = _allowed_keys(location[:-1], model)
        return f"unknown key; allowed are {', '.join(allowed)}{nearest(str(location[-1]), allowed)}"
    if kind == "missing":
        return f"missing key {location[-1]!r}"
    if kind == "union_tag_invalid":
        allowed = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        named = context["discriminator"].strip("'")
        return (
            f"unknown {named} {context['tag']!r}; allowed are {', '.join(allowed)}"
            f"{nearest(context['tag'], allowed)}"
        )
    if kind == "union_tag_not_found":
        return f"missing key {context['discriminator']}"
    if kind in {"value_error", NEITHER}:
        return str(context.get("error", problem["msg"]))
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    return f"{message}, not {reprlib.repr(problem['input'])}"


def _allowed_keys(location: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    """Return the keys that the mapping at an error's location may have."""
    schema = model.model_json_schema()
    node: Any = schema
    for part in location:
        node = _dereference(node, schema)
        if isinstance(part, int):
            node = node.get("items", {})
        elif part in node.get("properties", {}):
            node = node["properties"][part]
        else:
            node = _tagged(node, part) or node
    return list(_dereference(node, schema).get("properties", {}))


def _tagged(node: Any, tag: str) -> Any:
    """Return the member of a union, or of one within it, that a tag names; None: it names none."""
    if tag in node.get("discriminator", {}).get("mapping", {}):
        return {"$ref": node["discriminator"]["mapping"][tag]}
    return next((found for one in node.get("oneOf", ()) if (found := _tagged(one, tag))), None)


def _dereference(node: Any, schema: Any) -> Any:
    """Follow references; of what may also be absent, take what it is otherwise."""
    while "$ref" in node or "anyOf" in node:
        if "anyOf" in node:
            named = [one for one in node["anyOf"] if not {"enum", "const"} & set(one)]
            node = next((one for one in named if one.get("type") != "null"), {})
        else:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node
