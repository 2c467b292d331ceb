"""The route table leads every path of the contract to its owner."""

import re

import pytest
from waybill_cli import gateway
from waybill_cli.errors import StackError

ADDRESSES = {service: [("host", 80)] for service in ("intake", "routing", "sla", "notify", "kb")}

OWNERS = {
    "intake": [
        *("/v1/tickets", "/v1/tickets/{id}", "/v1/tickets/{id}/messages", "/v1/attachments"),
        *("/v1/attachments/{id}", "/v1/tickets/{id}/transitions", "/v1/tickets/{id}/merge"),
        *("/v1/tickets/{id}/links", "/v1/tickets/{id}/rating", "/v1/tickets/{id}/log"),
        *("/v1/playbooks", "/v1/stats/volume", "/v1/stats/diagnosis", "/v1/intake/settings"),
        "/r/{token}",
    ],
    "routing": [
        *("/v1/agents", "/v1/agents/{id}/presence", "/v1/agents/{id}/next", "/v1/teams"),
        *("/v1/queues", "/v1/routing-rules", "/v1/tickets/{id}/assignment"),
        *("/v1/tickets/{id}/assignment/claim", "/v1/routing/settings"),
    ],
    "sla": [
        *("/v1/sla/policies", "/v1/sla/calendars", "/v1/sla/ladders", "/v1/tickets/{id}/sla"),
        *("/v1/tickets/{id}/escalations", "/v1/sla/report", "/v1/sla/at-risk"),
        *("/v1/sla/simulations", "/v1/sla/settings"),
    ],
    "notify": [
        *("/v1/templates", "/v1/subscriptions", "/v1/preferences", "/v1/deliveries"),
        *("/v1/deliveries/{id}/retry", "/v1/stream", "/v1/notify/settings"),
    ],
    "kb": [
        *("/v1/articles", "/v1/articles/{id}/publish", "/v1/articles/{id}/feedback", "/v1/search"),
        *("/v1/suggestions", "/v1/quick-replies", "/v1/tickets/{id}/similar", "/v1/kb/settings"),
    ],
}


@pytest.mark.parametrize(("owner", "path"), [(o, p) for o, paths in OWNERS.items() for p in paths])
def test_every_path_of_the_contract_leads_to_its_owner(owner: str, path: str) -> None:
    assert (
        gateway.route_table().owner(path.replace("{id}", "WB-1").replace("{token}", "t")) == owner
    )


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v1", "/v1/ticketsx", "/r"])
def test_what_is_not_listed_leads_nowhere(path: str) -> None:
    assert gateway.route_table().owner(path) is None


def test_the_rendered_routes_match_as_the_table_does() -> None:
    config = gateway.render(ADDRESSES, listen=("0.0.0.0", 8080))
    http = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    routes = http["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    table = gateway.route_table()
    for path in [p.replace("{id}", "WB-1") for paths in OWNERS.values() for p in paths]:
        first = next(
            route["route"]["cluster"]
            for route in routes
            if "safe_regex" in route["match"]
            and re.fullmatch(route["match"]["safe_regex"]["regex"], path)
        )
        assert first == table.owner(path)
    stream = next(route for route in routes if route["name"] == "/v1/stream")
    assert stream["route"]["timeout"] == "0s"


def test_files_are_not_held_in_the_gateways_memory() -> None:
    config = gateway.render(ADDRESSES, listen=("0.0.0.0", 8080))
    http = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    routes = http["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    streamed = [
        route["name"]
        for route in routes
        if route.get("typed_per_filter_config", {}).get("buffer", {}).get("disabled")
    ]
    assert streamed == ["/v1/attachments"]


def test_a_service_without_an_address_stops_the_rendering() -> None:
    with pytest.raises(StackError, match="where kb answers"):
        gateway.render({k: v for k, v in ADDRESSES.items() if k != "kb"}, listen=("h", 1))


def test_a_broken_table_is_named(tmp_path) -> None:
    broken = tmp_path / "routes.yaml"
    broken.write_text("routes: [{path: /v1/tickets}]\ndefaults: {}\npages: []\n")
    with pytest.raises(StackError, match=r"routes\.yaml is not a route table"):
        gateway.route_table(broken)
