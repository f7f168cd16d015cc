"""Bytes in and out of a connection, endable, in time.  Knows no event."""
