"""Traces: one request's way through a server, told to whatever collects OpenTelemetry's traces.

Nothing here is imported by a server that tells none. Which requests are traced is decided when they come; the spans of
a charge's steps are made after its commit, out of times that are noted anyway, and sent by a thread of their own.
"""
