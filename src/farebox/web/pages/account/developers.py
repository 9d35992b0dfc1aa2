"""How a merchant's programs read the balance: the Balance API in a page, with whole programs to copy."""

from starlette.responses import Response

from farebox.web.examples import balance_examples
from farebox.web.pages.account.common import account_page
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.house import Audience, PageRequest, PageRoute


class Developers:
    """The developers' page."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [PageRoute(f"{ROOT}/developers", Audience.VIEWER, get=self.show)]

    async def show(self, ask: PageRequest) -> Response:
        """Show how to read the balance in one language; the others are a link away."""
        examples = balance_examples(ask.services.operator.public_url)
        chosen = next((it for it in examples if it.name == ask.query("example")), examples[0])
        return await account_page(
            ask,
            "account/developers.html",
            examples=examples,
            chosen=chosen,
            public_url=ask.services.operator.public_url,
        )
