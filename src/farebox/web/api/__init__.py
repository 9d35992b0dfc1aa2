"""The API's endpoints: each reads a request, asks the service, and writes the answer's data."""

from farebox.services import Services
from farebox.web.api.admin import Admin
from farebox.web.api.admin_keys import AdminKeys
from farebox.web.api.admin_money import AdminMoney
from farebox.web.api.base import Route
from farebox.web.api.batch import Batches
from farebox.web.api.reading import Reading
from farebox.web.api.spending import Spending
from farebox.web.api.statement import Statement
from farebox.web.client_address import Addresses


def routes(services: Services, addresses: Addresses) -> list[Route]:
    """List the API's endpoints; the application and its OpenAPI document are both made from this."""
    rooms = (Reading, Statement, Spending, Batches, Admin, AdminMoney, AdminKeys)
    return [route for room in rooms for route in room(services, addresses).routes()]
