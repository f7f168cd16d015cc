"""Anthropic's Messages, of Anthropic and of every server that speaks them."""
