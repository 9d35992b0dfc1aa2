"""Tests of chat: which chats there may be, what is sent there, and that nothing else is reached."""
