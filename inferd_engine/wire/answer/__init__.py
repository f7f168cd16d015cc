"""What answers have in common, whatever protocol they are written in."""
