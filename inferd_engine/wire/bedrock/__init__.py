"""Bedrock's Converse: a request to its JSON, and the frames of an answer to events."""
