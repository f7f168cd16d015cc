"""JSON schemas taken apart, as far as a grammar can hold an answer to them."""
