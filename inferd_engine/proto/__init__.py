"""The input alphabet: what a caller can ask of a backend, as plain checked data."""
