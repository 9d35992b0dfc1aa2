"""How a merchant's programs read the balance: the Balance API in a page, with whole programs to copy."""

from starlette.responses import Response

from farebox.presenters.merchants import AMOUNT_PROBE
from farebox.web.examples import balance_examples, chosen_example
from farebox.web.pages.account.common import account_page
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute


class DeveloperPages:
    """The developers' page."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [PageRoute(f"{ROOT}/developers", Audience.VIEWER, get=self.show)]

    async def show(self, request: PageRequest) -> Response:
        """Show how to read the balance in one language; the others are a link away."""
        examples = balance_examples(request.services.operator.public_url)
        return await account_page(
            request,
            "account/developers.html",
            examples=examples,
            chosen=chosen_example(examples, request.query("example")),
            amount_probe=AMOUNT_PROBE,
            public_url=request.services.operator.public_url,
        )
