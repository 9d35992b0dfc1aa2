"""Chat: events as short messages to Slack, Discord, Telegram and others, by Apprise, which is an extra."""
