"""The wire, without I/O: every function here depends on its arguments alone."""
