"""How files of settings are read, before anybody is asked."""

from pathlib import Path

import pytest
from waybill_cli.apply import documents
from waybill_cli.apply.kinds import KINDS
from waybill_cli.errors import StackError
from waybill_cli.gateway import route_table

EXAMPLE = Path(__file__).parents[3] / "examples" / "settings.yaml"


def test_each_document_says_what_it_is_and_where_it_stands() -> None:
    found, faults = documents.read([str(EXAMPLE)])
    assert faults == []
    assert [one.title for one in found] == [
        "IntakeSettings",
        "ProductSettings shop",
        "Playbook shop order",
        "View support Waiting orders of the shop",
    ]
    assert found[1].place == f"{EXAMPLE}, document 2"


def test_a_folder_is_all_its_files_and_an_empty_document_is_none(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text("---\n---\nkind: IntakeSettings\nspec: {}\n")
    (tmp_path / "a.yaml").write_text("kind: ProductSettings\nproduct: shop\nspec: {}\n")
    (tmp_path / "notes.txt").write_text("kind: Nothing")
    found, faults = documents.read([str(tmp_path)])
    assert faults == []
    assert [one.title for one in found] == ["ProductSettings shop", "IntakeSettings"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "kind: Settings\nspec: {}",
            "kind must be one of Agent, Calendar, IntakeSettings, ",
        ),
        ("kind: ProductSettings\nspec: {}", "product must be text, such as demo"),
        ("kind: ProductSettings\nproduct: 7\nspec: {}", "product must be text, such as demo"),
        ("kind: IntakeSettings\nproduct: shop\nspec: {}", "product is not a known field; the"),
        ("kind: IntakeSettings", "spec must be an object"),
        ("- 1", "must be an object with kind and spec"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"kind: IntakeSettings\nspec: {{}}\n---\n{text}\n")
    _, (fault,) = documents.read([str(file)])
    assert fault.startswith(f"{file}, document 2: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: [", "line 1"),
        ("kind: IntakeSettings\nspec: {a: 1, a: 2}", "line 2: a comes twice"),
        ("kind: IntakeSettings\nspec: {true: 1}", "line 2: true must be text: quote it"),
        ("kind: IntakeSettings\nspec: &a\n  b: [*a]", "line 2: it holds itself"),
    ],
)
def test_what_is_no_yaml_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    _, (fault,) = documents.read([str(file)])
    assert fault.startswith(f"{file}, {said}")


def test_words_stay_words(tmp_path: Path) -> None:
    """A country is no boolean and a day no date, as JSON would have it."""
    file = tmp_path / "x.yaml"
    file.write_text(
        "kind: IntakeSettings\nspec: {a: no, b: off, c: 2026-01-05, d: true, e: 12:30}\n"
    )
    (found,), _ = documents.read([str(file)])
    assert found.spec == {"a": "no", "b": "off", "c": "2026-01-05", "d": True, "e": "12:30"}
    file.write_text(
        "kind: IntakeSettings\nspec: {a: 1, b: -0.5, c: 1e3, d: null, e: , f: 007, g: .5}"
    )
    (found,), _ = documents.read([str(file)])
    assert found.spec == {
        "a": 1,
        "b": -0.5,
        "c": 1000.0,
        "d": None,
        "e": None,
        "f": "007",
        "g": 0.5,
    }


def test_a_fault_is_found_on_its_line(tmp_path: Path) -> None:
    """That of its path, or of the nearest above it; an alias stands where it is first written."""
    file = tmp_path / "x.yaml"
    file.write_text(
        "kind: IntakeSettings\nspec: {}\n---\nkind: IntakeSettings\nspec:\n"
        "  a: &x\n    - b: 1\n    - b: 2\n  c: *x\n"
    )
    document = documents.read([str(file)])[0][1]
    for fault, line in (
        ("spec.a.1.b is wrong", 8),
        ("spec.a.1.b.z is wrong", 8),
        ("spec.c.0.b is wrong", 9),
        ("spec is wrong", 5),
        ("spec.d is required", 5),
    ):
        assert document.fault(fault) == f"{file}, document 2: {fault} (line {line})"
    assert document.fault("there is nothing") == f"{file}, document 2: there is nothing"


def test_the_same_thing_twice_is_a_contradiction(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("kind: IntakeSettings\nspec: {}\n---\nkind: IntakeSettings\nspec: {}\n")
    _, (fault,) = documents.read([str(file)])
    assert fault.endswith(f"IntakeSettings stands in {file}, document 1 already")


def test_what_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"none\.yaml cannot be read: No such file"):
        documents.read([str(tmp_path / "none.yaml")])
    with pytest.raises(StackError, match=r"holds no \.yaml file"):
        documents.read([str(tmp_path)])


def test_every_kind_is_behind_the_gateway() -> None:
    table = route_table()
    for kind in KINDS.values():
        path = kind.path.format_map(kind.keys)  # type: ignore[attr-defined]
        assert table.owner(path) is not None, kind.name
