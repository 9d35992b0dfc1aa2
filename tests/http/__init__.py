"""Tests of HTTP/1.1 between sockets and the application."""
