"""Settling from access logs: what the gate charged or held is refunded, captured or released by how the API answered.

It runs beside a proxy, reads what that logs, and asks a server over HTTP by the client library, as any service would.
"""
