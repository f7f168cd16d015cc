"""JSON and text as servers write them."""
