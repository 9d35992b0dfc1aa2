"""Destinations of webhooks and chats, and messages to them: how they wait in lane, and what came of each attempt."""
