"""For services that charge: what requests cost, worked out in their own process. It needs nothing of the server."""
