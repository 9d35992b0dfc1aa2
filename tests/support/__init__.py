"""What tests share: servers, builders and other helpers."""
