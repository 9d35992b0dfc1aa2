"""Tests of the settler: real logs, real servers, real kills."""
