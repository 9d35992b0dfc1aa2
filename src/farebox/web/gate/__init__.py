"""The gate under /gate/: how each kind of proxy asks for a request, and how it is answered."""
