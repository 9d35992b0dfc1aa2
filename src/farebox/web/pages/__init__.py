"""Pages for people: the merchants' dashboard and the support console, rendered here, readable without scripts."""
