"""Charge for requests of a web application: a middleware for ASGI, one for WSGI, and prices by route or by handler.

from farebox_client.middleware import AsgiMiddleware, Charging, charged, free

charging = Charging("https://farebox.example", key=SERVICE_KEY, routes=[charged("POST", "/v1/search", "search")])
app.add_middleware(AsgiMiddleware, charging=charging)
"""

from farebox_client.middleware.asgi import AsgiMiddleware
from farebox_client.middleware.blocking_charging import BlockingCharging
from farebox_client.middleware.charging import Charging
from farebox_client.middleware.priced import priced
from farebox_client.middleware.refusals import Refused
from farebox_client.middleware.request_charge import (
    NotCharged,
    RequestCharge,
    TooLate,
    charge_for,
    charge_of,
    count_for,
    waive,
)
from farebox_client.middleware.routes import Route, RouteInvalid, charged, free, metered
from farebox_client.middleware.wsgi import WsgiMiddleware

__all__ = [
    "AsgiMiddleware",
    "BlockingCharging",
    "Charging",
    "NotCharged",
    "Refused",
    "RequestCharge",
    "Route",
    "RouteInvalid",
    "TooLate",
    "WsgiMiddleware",
    "charge_for",
    "charge_of",
    "charged",
    "count_for",
    "free",
    "metered",
    "priced",
    "waive",
]
