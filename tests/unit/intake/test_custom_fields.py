"""What custom fields a schema takes, and what schemas are taken."""

import time
from typing import Any

import pytest
from waybill_intake.domain.custom_fields import MOST_PARTS, CustomFields, SchemaFault
from waybill_intake.domain.product_settings import order_link_fault, order_url, starting_priority
from waybill_intake.domain.words import Priority

SCHEMA = {
    "type": "object",
    "required": ["order"],
    "additionalProperties": False,
    "$defs": {"money": {"type": ["number", "null"], "minimum": 0}},
    "properties": {
        "order": {
            "type": "object",
            "required": ["total"],
            "properties": {
                "total": {"$ref": "#/$defs/money"},
                "lines": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
                "placed": {"format": "date"},
            },
        },
        "size": {"enum": ["s", "m", 4]},
        "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    },
}


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"order": {"total": "9"}}, "order.total", "must be null or a number"),
        ({"order": {"total": -1}}, "order.total", "must be at least 0"),
        ({"order": {}}, "order.total", "is required"),
        ({}, "order", "is required"),
        ({"order": {"total": 1}, "colour": 1}, "colour", "is not a known field"),
        ({"order": {"total": 1, "lines": ["a", 2]}}, "order.lines.1", "must be text"),
        ({"order": {"total": 1, "placed": "today"}}, "order.placed", "must be a date"),
        ({"order": {"total": 1}, "size": "l"}, "size", "must be one of 4, m, s"),
        ({"order": {"total": 1}, "country": "de"}, "country", "must match ^[A-Z]{2}$"),
        (
            {"order": {"total": 1}, "either": []},
            "either",
            "must be text; or must be a whole number",
        ),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(
    values: dict[str, Any], field: str, message: str
) -> None:
    assert CustomFields(SCHEMA).faults(values) == [
        {"field": f"custom_fields.{field}", "message": message}
    ]


def test_what_fits_has_no_faults() -> None:
    good = {"order": {"total": 9.5, "lines": ["a"], "placed": "2026-01-05"}, "either": 3}
    assert CustomFields(SCHEMA).faults(good) == []


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"properties": {"a": {"type": "txt"}}}, "properties.a.type", "must be one of array, bo"),
        ({"requird": ["a"]}, "requird", "is not a keyword"),
        ({"properties": {"a": {"minLength": "x"}}}, "properties.a.minLength", "must be a whole"),
        ({"properties": {"a": 1}}, "properties.a", "must be a JSON Schema, an object"),
        ({"properties": [1]}, "properties", "must be an object"),
        ({"required": "a"}, "required", "must be a list"),
        ({"$ref": "https://elsewhere.example/x"}, "$ref", "must refer to a definition of the sch"),
        ({"$ref": "#"}, "$ref", "must refer to a definition of the schema"),
        ({"$ref": "#/$defs/a"}, "$ref", "refers to #/$defs/a, which is not there"),
        ({"$id": "https://elsewhere.example/x"}, "$id", "is not a keyword"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$schema", "must be https://json"),
        (
            {"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}},
            "$defs.a.items.$ref",
            "must not lead in a circle",
        ),
        ({"properties": {"a": {"pattern": "(a"}}}, "properties.a.pattern", "must be a regular exp"),
        ({"pattern": r"(a)\1"}, "pattern", "must be a regular expression without lookaround"),
        ({"pattern": "(a{1000}){1000}"}, "pattern", "must be a regular expression"),
        ({"format": "regex"}, "format", "must be one of date, date-time"),
        ({"enum": ["x" * 40_000]}, "", "must have at most 32768 bytes"),
    ],
)
def test_a_schema_that_is_wrong_or_too_much_is_not_taken(
    schema: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(SchemaFault) as caught:
        CustomFields(schema)
    assert ".".join(caught.value.path) == path
    assert caught.value.message.startswith(message)


def test_a_schema_that_grows_without_end_when_its_references_are_followed_is_not_taken() -> None:
    """A few hundred bytes can mean more checks than anybody lives to see."""
    growing = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 4} for n in range(5)}
    with pytest.raises(SchemaFault, match=f"at most {MOST_PARTS} parts"):
        CustomFields({"$defs": {**growing, "d5": {}}, "$ref": "#/$defs/d0"})
    deep: dict[str, Any] = {}
    for _ in range(20):
        deep = {"items": deep}
    with pytest.raises(SchemaFault, match="nested more than"):
        CustomFields(deep)


def test_too_much_for_a_schema_is_refused_and_much_is_not_explained() -> None:
    """To say what is wrong with 3,000 values in 480 ways took half a minute."""
    forms = [{"items": {"type": "string"}} for _ in range(240)]
    check = CustomFields({"properties": {"a": {"anyOf": forms}}})
    (said,) = [fault["message"] for fault in check.faults({"a": [*range(3000)]})]
    assert said == "is too much for the schema of the product: send less of it"
    (said,) = [fault["message"] for fault in check.faults({"a": [*range(90)]})]
    assert said == "does not fit the schema of the product, and is too much to say where"
    assert check.faults({"a": [1]}) == [{"field": "custom_fields.a", "message": "must be text"}]


def test_no_pattern_hangs_the_check() -> None:
    """With backtracking this one would need longer than the universe has."""
    check = CustomFields({"properties": {"a": {"pattern": "^(a+)+$"}}})
    began = time.process_time()
    assert len(check.faults({"a": "a" * 10_000 + "b"})) == 1
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("https://shop.example/orders/{ref}", None),
        ("https://shop.example/?order={ref}#top", None),
        ("http://shop.example/orders/{ref}", "must begin with https://"),
        ("javascript:alert({ref})", "must begin with https://"),
        ("https://{ref}.example/", "must begin with https://"),
        ("https://shop.example{ref}", "must have {ref} behind the host"),
        ("https://ana@shop.example/{ref}", "must begin with https://"),
        ("https://shop.example:x/{ref}", "must begin with https://"),
        ("https://shop.example/orders", "must have {ref} exactly once"),
        ("https://shop.example/{ref}/{ref}", "must have {ref} exactly once"),
        ("https://shop.example/{ref}/{0.__class__}", "must have {ref} exactly once"),
        ("https://shop.example/my orders/{ref}", "must be an address in plain ASCII"),
    ],
)
def test_an_order_link_is_an_https_address_with_one_place(template: str, fault: str | None) -> None:
    found = order_link_fault(template)
    assert (found is None) if fault is None else (found or "").startswith(fault)


def test_a_reference_stays_within_its_place() -> None:
    template = "https://shop.example/orders/{ref}?lang=en"
    assert order_url(template, "A 1/2?x=ü&") == (
        "https://shop.example/orders/A%201%2F2%3Fx%3D%C3%BC%26?lang=en"
    )


def test_a_tier_only_raises_a_priority() -> None:
    assert starting_priority(Priority.LOW, Priority.HIGH) is Priority.HIGH
    assert starting_priority(Priority.URGENT, Priority.HIGH) is Priority.URGENT
    assert starting_priority(Priority.LOW, None) is Priority.LOW
