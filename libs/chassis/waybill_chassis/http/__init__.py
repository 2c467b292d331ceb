"""The HTTP edge that all services share. Import what a service's `http.py` needs from here."""

from waybill_chassis.http.app import create_app
from waybill_chassis.http.callers import TOKEN_OPTIONAL, Caller, MaybeCaller, require
from waybill_chassis.http.idempotency import (
    KEPT,
    Once,
    RunOnce,
    prune,
    run_once,
    scope_of,
)
from waybill_chassis.http.paging import Cursor, CursorParam, Limit, Page
from waybill_chassis.http.rendering import etag, problem_response, render, respond
from waybill_chassis.http.server import HttpServer
from waybill_chassis.http.settings import DryRun, PerProduct, settings_routes
from waybill_chassis.http.sharing import Sharing
from waybill_chassis.http.versions import (
    ExpectedVersion,
    RequiredVersion,
    expected_version,
)
from waybill_chassis.validation import Duration, Instant, RequestModel, ResponseModel

__all__ = [
    "KEPT",
    "TOKEN_OPTIONAL",
    "Caller",
    "Cursor",
    "CursorParam",
    "DryRun",
    "Duration",
    "ExpectedVersion",
    "HttpServer",
    "Instant",
    "Limit",
    "MaybeCaller",
    "Once",
    "Page",
    "PerProduct",
    "RequestModel",
    "RequiredVersion",
    "ResponseModel",
    "RunOnce",
    "Sharing",
    "create_app",
    "etag",
    "expected_version",
    "problem_response",
    "prune",
    "render",
    "require",
    "respond",
    "run_once",
    "scope_of",
    "settings_routes",
]
