"""YAML files that people write, read so that every complaint can name a file, a line and a key.

`load` gives a `Document`: the plain data plus the line of every key path. `validate` runs a pydantic model
over it and turns all of pydantic's findings into one `UsageError`, one line per finding:

    goldsmith.yml:7: images.web.playbok: unknown key; did you mean "playbook"?
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from goldsmith.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)

KeyPath = tuple[str | int, ...]
"""Where in a document: `("images", "web", "targets", 0)`."""


@dataclass(frozen=True)
class Document:
    """A YAML file's plain data and the line on which each key path stands (counted from 1)."""

    path: Path
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, key_path: Sequence[str | int]) -> int:
        """Line of the key path, or of its nearest parent that the file has."""
        path = tuple(key_path)
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, key_path: Sequence[str | int]) -> str:
        """`file:line`, for a message."""
        return f"{self.path}:{self.line(key_path)}"


class _Loader(yaml.SafeLoader):
    """Safe YAML, without the dates: a version such as 2026-01-01 stays what was typed."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(path: Path) -> Document:
    """Read one YAML document.

    Raises UsageError when the file can't be read, isn't YAML, holds more than one document or a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from error
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    return loads(text, path)


def loads(text: str, path: Path) -> Document:
    """As `load`, for text in hand; `path` only names it in messages."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{path}:{line}: not valid YAML: a control character") from error
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(path, None)
        lines: dict[KeyPath, int] = {(): node.start_mark.line + 1}
        problems = [f"{path}:{line}: {message}" for line, message in _walk(loader, node, (), lines, ())]
        if problems:
            raise UsageError("\n".join(problems), hint="keep one of the two" if "twice" in problems[0] else "")
        return Document(path, loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        why = error.problem or error.context or "unreadable"
        raise UsageError(f"{path}:{line}: not valid YAML: {why}", hint="check quotes and indentation") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from error
    finally:
        loader.dispose()


def _walk(
    loader: _Loader,
    node: yaml.Node,
    at: KeyPath,
    lines: dict[KeyPath, int],
    inside: tuple[yaml.Node, ...],
) -> Iterator[tuple[int, str]]:
    """Note the line of every key; yield (line, message) for what a plain load would swallow."""
    if any(node is parent for parent in inside):
        yield node.start_mark.line + 1, "an alias that contains itself"
        return
    inside = (*inside, node)
    if isinstance(node, yaml.MappingNode):
        seen: dict[Any, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                yield line, "a key must be a plain word"
                continue
            key = loader.construct_object(key_node)
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key in seen:
                yield line, f'key "{key}" stands twice (first on line {seen[key]})'
            seen[key] = line
            lines[(*at, key)] = line
            yield from _walk(loader, value_node, (*at, key), lines, inside)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*at, index)] = item.start_mark.line + 1
            yield from _walk(loader, item, (*at, index), lines, inside)


def validate(document: Document, model: type[Model]) -> Model:
    """The document's data as the model.

    Raises UsageError with one line `file:line: key.path: message` for each problem.
    """
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise UsageError(f"{document.where(())}: expected keys and values, found {_kind(data)}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = set()
        for detail in error.errors():
            at = _typed(document, detail["loc"])
            dotted = ".".join(str(part) for part in at) or "top level"
            message = _say(detail["type"], detail["msg"], at, model)
            problems.add((document.line(at), f"{document.where(at)}: {dotted}: {message}"))
        text = "\n".join(line for _, line in sorted(problems))
        raise UsageError(text, hint=f"correct {document.path} and run it again") from error


def _typed(document: Document, location: Sequence[str | int]) -> KeyPath:
    """pydantic's location without the parts that it adds itself (the names of a union's members)."""
    at: KeyPath = ()
    last = len(location) - 1
    for index, part in enumerate(location):
        if (*at, part) in document.lines or index == last:
            at = (*at, part)
    if at and at not in document.lines and not _is_key(at[-1]):
        at = at[:-1]
    return at


def _is_key(part: str | int) -> bool:
    return isinstance(part, str) and part.replace("_", "").isalnum() and part not in _PYDANTIC_TAGS


_PYDANTIC_TAGS = frozenset({"str", "int", "float", "bool", "list", "dict"})

_MESSAGES = {
    "missing": "is required, and missing",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text (put it in quotes)",
    "list_type": "must be a list",
    "dict_type": "must be keys and values",
    "model_type": "must be keys and values",
    "too_short": "has too few items",
    "too_long": "has too many items",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
}


def _say(kind: str, message: str, at: KeyPath, model: type[BaseModel]) -> str:
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(str(at[-1]), _fields(model, at[:-1]), n=1, cutoff=0.6)
        return "unknown key" + (f'; did you mean "{close[0]}"?' if close else "")
    if kind in _MESSAGES:
        return _MESSAGES[kind]
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _fields(model: type[BaseModel], at: KeyPath) -> list[str]:
    """The keys that the model knows at a place: follows fields, and the values of mappings and lists."""
    found: list[Any] = [model]
    for part in at:
        found = [inner for each in found for inner in _step(each, part)]
    names = []
    for each in found:
        if isinstance(each, type) and issubclass(each, BaseModel):
            names += [field_info.alias or name for name, field_info in each.model_fields.items()]
    return names


def _step(kind: Any, part: str | int) -> list[Any]:
    """The types that may stand one key below a type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            if part in (name, info.alias):
                return _flat(info.annotation)
        return []
    return [inner for arg in get_args(kind) for inner in _flat(arg)]


def _flat(kind: Any) -> list[Any]:
    """A type, or the members of a union and of Annotated."""
    if get_origin(kind) is Annotated:
        return _flat(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [inner for arg in get_args(kind) for inner in _flat(arg)]
    return [kind]


def _kind(data: object) -> str:
    return "a list" if isinstance(data, list) else f"only {data!r}"
