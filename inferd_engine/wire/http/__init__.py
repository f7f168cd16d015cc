"""Where a body ends, and what it is wrapped in: HTTP, as far as it is a function of bytes."""
