"""Envoy's configuration, rendered from the one route table in `deploy/gateway/`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from waybill_cli.errors import StackError
from waybill_cli.places import project_root

Address = tuple[str, int]
# Fixed endpoints, or the file that lists them and may change while the gateway runs.
Upstream = Sequence[Address] | Path

_TYPE = "type.googleapis.com/envoy"
_SEGMENT = "[^/]+"


@dataclass(frozen=True, slots=True)
class Route:
    """A path and all below it, the service that owns it, and what it allows."""

    path: str
    owner: str
    body_bytes: int
    timeout_seconds: int
    streams: bool = False
    buffers: bool = True
    rewrite: str | None = None

    @property
    def regex(self) -> str:
        """A whole path, without its query, that this route takes."""
        parts = [
            _SEGMENT if part.startswith("{") else re.escape(part) for part in self.path.split("/")
        ]
        return f"{'/'.join(parts)}(/.*)?"


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes, the first that matches wins."""

    routes: tuple[Route, ...]
    body_bytes: int

    @property
    def services(self) -> list[str]:
        """Everybody who owns a path, in order of appearance."""
        return list(dict.fromkeys(route.owner for route in self.routes))

    def owner(self, path: str) -> str | None:
        """The service that a path leads to, None for a path that leads nowhere."""
        found = (route.owner for route in self.routes if re.fullmatch(route.regex, path))
        return next(found, None)


def route_table(path: Path | None = None) -> RouteTable:
    """Read `deploy/gateway/routes.yaml`, or the file named. Raises StackError where it is wrong."""
    path = path or _folder() / "routes.yaml"
    try:
        content = yaml.safe_load(path.read_text())
        defaults = content["defaults"]
        routes = [Route(**{**defaults, **item}) for item in content["routes"]]
        services = list(dict.fromkeys(route.owner for route in routes))
        pages = [
            Route(f"/{service}{page}", service, **defaults, rewrite=page)
            for service in services
            for page in content["pages"]
        ]
        return RouteTable((*routes, *pages), defaults["body_bytes"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise StackError(f"{path} is not a route table: {error!r}") from error


def render(
    upstreams: Mapping[str, Upstream], *, listen: Address, admin: Address | None = None
) -> dict[str, Any]:
    """The whole configuration, to be written as JSON or YAML.

    `upstreams` says for each service where it answers HTTP. Raises StackError when one is missing.
    """
    table = route_table()
    if missing := [service for service in table.services if service not in upstreams]:
        raise StackError(f"the gateway is not told where {', '.join(missing)} answers")
    config: dict[str, Any] = yaml.safe_load((_folder() / "envoy.base.yaml").read_text())
    listener = config["static_resources"]["listeners"][0]
    listener["address"] = _socket(listen)
    http = listener["filter_chains"][0]["filters"][0]["typed_config"]
    http["http_filters"][0]["typed_config"]["max_request_bytes"] = table.body_bytes
    http["route_config"]["virtual_hosts"][0]["routes"] = [
        *(_route(route, table) for route in table.routes),
        *_own_pages(),
    ]
    config["static_resources"]["clusters"] = [
        _cluster(service, upstreams[service]) for service in table.services
    ]
    if admin is not None:
        config["admin"] = {"address": _socket(admin)}
    return config


def endpoints(service: str, addresses: Sequence[Address]) -> dict[str, Any]:
    """What the file of an upstream says; Envoy takes it up when the file is replaced."""
    kind = f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment"
    return {"resources": [{"@type": kind, **_assignment(service, addresses)}]}


def _folder() -> Path:
    return project_root() / "deploy" / "gateway"


def _socket(address: Address) -> dict[str, Any]:
    host, port = address
    return {"socket_address": {"address": host, "port_value": port}}


def _route(route: Route, table: RouteTable) -> dict[str, Any]:
    action: dict[str, Any] = {
        "cluster": route.owner,
        "timeout": "0s" if route.streams else f"{route.timeout_seconds}s",
        # Only what has not reached the service is sent again: it may not be a repeatable request.
        "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 2},
    }
    if route.streams:
        action["idle_timeout"] = "0s"
    if route.rewrite is not None:
        action["regex_rewrite"] = {
            "pattern": {"regex": f"^/{route.owner}(/.*)$"},
            "substitution": r"\1",
        }
    rendered: dict[str, Any] = {
        "name": route.path,
        "match": {"safe_regex": {"regex": route.regex}},
        "route": action,
    }
    if not route.buffers:
        rendered["typed_per_filter_config"] = {
            "buffer": {
                "@type": f"{_TYPE}.extensions.filters.http.buffer.v3.BufferPerRoute",
                "disabled": True,
            }
        }
    elif route.body_bytes != table.body_bytes:
        rendered["typed_per_filter_config"] = {
            "buffer": {
                "@type": f"{_TYPE}.extensions.filters.http.buffer.v3.BufferPerRoute",
                "buffer": {"max_request_bytes": route.body_bytes},
            }
        }
    return rendered


def _own_pages() -> list[dict[str, Any]]:
    """The index of the services' documentation, and the way there from the bare address."""
    page = (_folder() / "index.html").read_text()
    html = {"header": {"key": "content-type", "value": "text/html; charset=utf-8"}}
    return [
        {
            "name": "/docs",
            "match": {"path": "/docs"},
            "direct_response": {"status": 200, "body": {"inline_string": page}},
            "response_headers_to_add": [{**html, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
        },
        *(
            {"name": path, "match": {"path": path}, "redirect": {"path_redirect": "/docs"}}
            for path in ("/docs/events", "/")
        ),
    ]


def _cluster(service: str, upstream: Upstream) -> dict[str, Any]:
    protocol = f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions"
    cluster: dict[str, Any] = {
        "name": service,
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        # A replica that leaves gets no more requests, however well it feels.
        "ignore_health_on_host_removal": True,
        # With most replicas not ready all are asked: a service that waits for the broker still
        # takes tickets in, and one that can not says so better than the gateway.
        "common_lb_config": {"healthy_panic_threshold": {"value": 50}},
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "2s",
                "no_traffic_interval": "2s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/readyz"},
            }
        ],
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": protocol,
                # Shorter than the services' own 75 s: no request meets a closing connection.
                "common_http_protocol_options": {"idle_timeout": "60s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }
    if isinstance(upstream, Path):
        source = {"path_config_source": {"path": str(upstream)}, "resource_api_version": "V3"}
        return {**cluster, "type": "EDS", "eds_cluster_config": {"eds_config": source}}
    return {**cluster, "type": "STRICT_DNS", "load_assignment": _assignment(service, upstream)}


def _assignment(service: str, addresses: Sequence[Address]) -> dict[str, Any]:
    members = [{"endpoint": {"address": _socket(address)}} for address in addresses]
    return {"cluster_name": service, "endpoints": [{"lb_endpoints": members}]}
