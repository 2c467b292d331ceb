"""Custom fields: each product says by a JSON Schema (2020-12) what its tickets may carry.

A schema comes from outside, so it is bounded before it is used: known keywords only, references
only to its own `$defs` and never in a circle, a limit on its size with all references followed.
Patterns are matched by automata, in a time that grows with the text and nothing else. What a ticket
carries is looked at only if there is not too much of it for the schema.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError
from pydantic_core import to_json
from waybill_chassis.problems import FieldError

MOST_BYTES = 32 * 1024
MOST_PARTS = 500
"""How many schemas it may consist of, each counted as often as it is referred to."""
MOST_DEPTH = 12

MOST_CHECKS = 50_000
"""The schema's parts times the values to check, and its patterns times their bytes, at most."""

_MOST_EXPLAINED = 5_000
"""To say what is wrong costs a hundred times more than to see that something is."""
_MOST_ERRORS = 20
_MOST_WORDS = 500
_REGEX = RegexOptions(size_limit=32 * 1024, dfa_size_limit=32 * 1024)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
FORMATS = (
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid",
)  # fmt: skip
_ONE = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
)
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"$defs", "dependentSchemas", "patternProperties", "properties"})
_PLAIN = frozenset(
    {
        "$comment", "$ref", "$schema", "const", "default", "dependentRequired", "deprecated",
        "description", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format",
        "maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains",
        "minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern", "readOnly",
        "required", "title", "type", "uniqueItems", "writeOnly",
    }
)  # fmt: skip
KEYWORDS = _ONE | _LISTS | _NAMED | _PLAIN

Path = tuple[str, ...]


class SchemaFault(Exception):
    """A schema that is not taken: where in it, and what would be right."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


class CustomFields:
    """Checks what a ticket carries against a product's schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises `SchemaFault` for a schema that is wrong or too much."""
        if len(to_json(schema)) > MOST_BYTES:
            raise SchemaFault((), f"must have at most {MOST_BYTES} bytes as JSON")
        self._survey = _Survey(schema)
        self._survey.walk(schema)
        try:
            self._validator = Draft202012Validator(
                dict(schema), validate_formats=True, pattern_options=_REGEX, offline=True
            )
        except ValidationError as error:
            path = tuple(map(str, error.instance_path))
            if path[-1:] == ("pattern",) or path[-2:-1] == ("patternProperties",):
                message = "must be a regular expression without lookaround and backreferences"
                raise SchemaFault(path, f"{message}, and not too large") from None
            raise SchemaFault(path, _wording(error)) from None

    def faults(self, values: Mapping[str, Any]) -> list[FieldError]:
        """What does not fit, each with its path: `custom_fields.order.total`, must be a number."""
        parts, patterns = self._survey.parts, self._survey.patterns
        checks = parts * _count(values)
        if max(checks, patterns * len(to_json(values))) > MOST_CHECKS:
            return [_whole("is too much for the schema of the product: send less of it")]
        if self._validator.is_valid(dict(values)):
            return []
        if checks > _MOST_EXPLAINED:
            return [_whole("does not fit the schema of the product, and is too much to say where")]
        return [
            fault
            for error in islice(self._validator.iter_errors(dict(values)), _MOST_ERRORS)
            for fault in _faults(error)
        ]


class _Survey:
    """Goes through a schema as the validator will, and stops where it becomes too much."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._definitions = schema.get("$defs", {})
        self.parts = 0
        self.patterns = 0

    def walk(self, schema: Any, path: Path = (), depth: int = 0, within: Path = ()) -> None:
        if isinstance(schema, bool) and path:
            return
        if not isinstance(schema, Mapping):
            raise SchemaFault(path, "must be a JSON Schema, an object")
        self.parts += 1
        self.patterns += ("pattern" in schema) + len(schema.get("patternProperties", ()))
        if self.parts > MOST_PARTS:
            message = f"must have at most {MOST_PARTS} parts, with all references followed"
            raise SchemaFault((), message)
        if depth > MOST_DEPTH:
            raise SchemaFault(path, f"is nested more than {MOST_DEPTH} levels deep")
        for name, value in schema.items():
            self._keyword(name, value, (*path, name))
        for part, at in _parts(schema, path):
            self.walk(part, at, depth + 1, within)
        if (reference := schema.get("$ref")) is not None:
            target = self._target(reference, (*path, "$ref"))
            if target in within:
                raise SchemaFault((*path, "$ref"), "must not lead in a circle")
            here = ("$defs", target)
            self.walk(self._definitions[target], here, depth + 1, (*within, target))

    def _keyword(self, name: str, value: Any, path: Path) -> None:
        if name not in KEYWORDS and not name.startswith("x-"):
            raise SchemaFault(path, f"is not a keyword; the known ones are {_listed(KEYWORDS)}")
        if name == "$schema" and value != _DIALECT:
            raise SchemaFault(path, f"must be {_DIALECT}, or left out")
        if name == "$defs" and len(path) > 1:
            raise SchemaFault(path, "must stand at the top of the schema")
        if name == "format" and value not in FORMATS:
            raise SchemaFault(path, f"must be one of {_listed(FORMATS)}")
        kinds = value if isinstance(value, list) and value else [value]
        if name == "type" and any(kind not in TYPES for kind in kinds):
            raise SchemaFault(path, f"must be one of {_listed(TYPES)}, or a list of such")

    def _target(self, reference: Any, path: Path) -> str:
        text = str(reference)
        name = text.removeprefix("#/$defs/")
        if name == text or not isinstance(self._definitions, Mapping):
            raise SchemaFault(path, "must refer to a definition of the schema: #/$defs/name")
        if name not in self._definitions:
            raise SchemaFault(path, f"refers to {text}, which is not there")
        return name


def _parts(schema: Mapping[str, Any], path: Path) -> Iterator[tuple[Any, Path]]:
    """The schemas within a schema, and where they are; what has the wrong shape is found later."""
    for name, value in schema.items():
        if name in _ONE:
            yield value, (*path, name)
        elif name in _LISTS and isinstance(value, list):
            for index, part in enumerate(value):
                yield part, (*path, name, str(index))
        elif name in _NAMED and isinstance(value, Mapping):
            for key, part in value.items():
                yield part, (*path, name, key)


def _count(value: Any) -> int:
    """How many values there are in a value, itself among them."""
    if isinstance(value, Mapping):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


def _whole(message: str) -> FieldError:
    return {"field": "custom_fields", "message": message}


def _faults(error: ValidationError) -> Iterator[FieldError]:
    path, facts = ["custom_fields", *map(str, error.instance_path)], error.kind.as_dict()
    match error.kind.name:
        case "required":
            yield {"field": ".".join([*path, facts["property"]]), "message": "is required"}
        case "additionalProperties":
            for name in facts["unexpected"]:
                yield {"field": ".".join([*path, name]), "message": "is not a known field"}
        case _:
            yield {"field": ".".join(path), "message": _wording(error)}


_ARTICLES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "text",
}
_WORDS = {
    "contains": "must have an item of the right form",
    "exclusiveMaximum": "must be less than {limit}",
    "exclusiveMinimum": "must be greater than {limit}",
    "falseSchema": "must be left out",
    "format": "must be a {format}",
    "maxItems": "must have at most {limit} item(s)",
    "maxLength": "must have at most {limit} character(s)",
    "maxProperties": "must have at most {limit} field(s)",
    "maximum": "must be at most {limit}",
    "minItems": "must have at least {limit} item(s)",
    "minLength": "must have at least {limit} character(s)",
    "minProperties": "must have at least {limit} field(s)",
    "minimum": "must be at least {limit}",
    "multipleOf": "must be a multiple of {multiple_of}",
    "not": "must not be of this form",
    "oneOf": "must have one of several forms, not more of them",
    "pattern": "must match {pattern}",
    "propertyNames": "must have only names of the right form",
    "uniqueItems": "must have no item twice",
}


def _wording(error: ValidationError) -> str:
    """What would be right, to be read after the field's name."""
    name, facts = error.kind.name, error.kind.as_dict()
    match name:
        case "type":
            words = f"must be {' or '.join(_ARTICLES[kind] for kind in facts['types'])}"
        case "enum":
            words = f"must be one of {_listed(facts['options'])}"
        case "const":
            words = f"must be {_listed([facts['expected_value']])}"
        case "required":
            words = f"needs {facts['property']}"
        case "anyOf" | "oneOf" if told := _alternatives(facts["context"]):
            words = "; or ".join(told)
        case _:
            words = _WORDS.get(name, "does not fit").format_map(facts)
    return words[:_MOST_WORDS]


def _alternatives(context: list[list[ValidationError]]) -> list[str]:
    return list(dict.fromkeys(_wording(errors[0]) for errors in context if errors))


def _listed(values: Any) -> str:
    return ", ".join(
        sorted(value if isinstance(value, str) else to_json(value).decode() for value in values)
    )
