"""YAML files as documents: a kind, the names that say which one, and the `spec`."""

import re
import sys
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from waybill_cli.apply.kinds import KINDS, Document
from waybill_cli.errors import StackError


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain words, and a name comes once.

    Where YAML 1.1 reads `no` as false and 12:30 as 750, a country or an hour would be lost.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose names are text, each of them once."""
        seen: set[Any] = set()
        for name, _ in node.value:
            if name.tag != "tag:yaml.org,2002:str" or name.value in seen:
                why = "comes twice" if name.value in seen else "must be text: quote it"
                raise yaml.MarkedYAMLError(
                    problem=f"{name.value} {why}", problem_mark=name.start_mark
                )
            seen.add(name.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"({_pattern})$"), _first
    )


def read(paths: Sequence[str]) -> tuple[list[Document], list[str]]:
    """The documents of files and folders in their order, and what is wrong with the others."""
    documents: list[Document] = []
    faults: list[str] = []
    places: dict[tuple[str, ...], str] = {}
    for file in _files(paths):
        try:
            contents = list(_contents(_text(file)))
        except yaml.YAMLError as error:
            faults.append(_unreadable(file, error))
            continue
        for number, (content, lines) in enumerate(contents, start=1):
            place = f"{file}, document {number}"
            if content is None:
                continue
            found = _document(place, content, lines)
            if isinstance(found, str):
                faults.append(f"{place}: {found}")
                continue
            which = (found.kind.name, *found.names.values())
            if which in places:
                faults.append(f"{place}: {found.title} stands in {places[which]} already")
            places[which] = place
            documents.append(found)
    return documents, faults


def _files(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if not Path(path).is_dir():
            yield path
            continue
        found = sorted(each for each in Path(path).iterdir() if each.suffix in (".yaml", ".yml"))
        if not found:
            raise StackError(f"{path} holds no .yaml file")
        yield from map(str, found)


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise StackError(f"{file} cannot be read: {why}") from error


def _unreadable(file: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{file}, line {mark.line + 1}" if mark else file
    return f"{where}: {getattr(error, 'problem', None) or error}"


def _contents(text: str) -> Iterator[tuple[Any, dict[str, int]]]:
    """What each document says, and on which line each path of it stands."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            lines: dict[str, int] = {}
            node = loader.get_node()
            assert node is not None
            _note(node, "", lines, set(), set())
            yield loader.construct_document(node), lines
    finally:
        loader.dispose()


def _note(
    node: yaml.Node, path: str, lines: dict[str, int], above: set[int], seen: set[int]
) -> None:
    """Note where each path stands; what an alias repeats, where it stands first."""
    lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in above:
        raise yaml.MarkedYAMLError(problem="it holds itself", problem_mark=node.start_mark)
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        parts = [(str(name.value), name, value) for name, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(str(place), value, value) for place, value in enumerate(node.value)]
    else:
        return
    for name, first, value in parts:
        inner = f"{path}.{name}" if path else name
        lines[inner] = first.start_mark.line + 1
        _note(value, inner, lines, {*above, id(node)}, seen)


def _document(place: str, content: Any, lines: dict[str, int]) -> Document | str:
    """A document, or what would be right instead."""
    if not isinstance(content, dict):
        return "must be an object with kind and spec"
    kind = KINDS.get(str(content.get("kind")))
    if kind is None:
        return f"kind must be one of {', '.join(sorted(KINDS))}"
    known = {"kind", "spec", *kind.keys}
    if unknown := sorted(content.keys() - known):
        return f"{unknown[0]} is not a known field; the known ones are {', '.join(sorted(known))}"
    for key in kind.keys:
        if not isinstance(content.get(key), str) or not content[key]:
            return f"{key} must be text, such as {kind.keys[key]}"
    if not isinstance(content.get("spec"), dict):
        return "spec must be an object"
    names = {key: content[key] for key in kind.keys}
    return Document(place, kind, names, content["spec"], lines)
