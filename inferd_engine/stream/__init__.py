"""Streams of events: threads and endings.  Knows no HTTP, and imports nothing that does."""
