"""Destinations of webhooks and chats, and messages to them: how they wait in lanes, and what came of each attempt."""
