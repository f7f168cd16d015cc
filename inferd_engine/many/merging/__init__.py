"""Many streams, read by one thread."""
