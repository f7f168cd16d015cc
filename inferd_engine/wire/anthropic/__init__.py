"""Anthropic's Messages: a request to its JSON, and the bytes of an answer to events."""
