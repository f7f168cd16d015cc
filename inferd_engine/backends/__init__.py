"""The backends; each is configuration in, stream out, and knows no other."""
