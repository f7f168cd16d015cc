"""What is said on the wire, read and written without I/O: bytes in, values out, and back.

No socket, no thread, no lock.  What is read piece by piece has a state, and depends on the pieces
alone, however they were cut.  Two things come from outside: the clock, for a ``Retry-After`` that
is a date (``http/headers.py``), and which implementation is the default (``_native``).
"""
