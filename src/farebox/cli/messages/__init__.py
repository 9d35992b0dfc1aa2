"""Commands about what is told to servers and chats."""
