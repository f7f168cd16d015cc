"""What requests have in common, whatever protocol they are mapped to."""
