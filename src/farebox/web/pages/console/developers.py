"""How the operator's own programs charge: one request, what to do with its answers, and whole programs to copy."""

from starlette.responses import Response

from farebox.web.examples import charge_examples, chosen_example
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute


class ServiceDeveloperPages:
    """The page for those who write the operator's services."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [PageRoute("/support/developers", Audience.SUPPORT, get=self.show, is_console=True)]

    async def show(self, request: PageRequest) -> Response:
        """Show how to charge in one language; the others are a link away."""
        public_url = request.services.operator.public_url
        examples = charge_examples(public_url)
        return request.page(
            "console/developers.html",
            examples=examples,
            chosen=chosen_example(examples, request.query("example")),
            public_url=public_url,
        )
