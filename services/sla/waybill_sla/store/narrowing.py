"""How questions about many targets are narrowed to some of them."""

from typing import Any

from waybill_sla.domain.watching import Scope

_FIELDS = {
    "product": "products",
    "type": "types",
    "priority": "priorities",
    "kind": "targets",
    "team": "teams",
    "agent": "agents",
}


def narrowed(of: str, *, kind_of: str | None = None) -> str:
    """SQL: whether a row is asked for; `kind_of` is the table that says which target it is."""
    return " AND ".join(
        f"(CAST(:{name} AS text[]) IS NULL"
        f" OR {kind_of if kind_of and column == 'kind' else of}.{column}"
        f" = ANY (CAST(:{name} AS text[])))"
        for column, name in _FIELDS.items()
    )


def asked(scope: Scope) -> dict[str, Any]:
    """What is asked for, as the parameters of such a statement."""
    found = {name: getattr(scope, name) for name in _FIELDS.values()}
    return {name: None if wanted is None else sorted(wanted) for name, wanted in found.items()}
