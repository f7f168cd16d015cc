"""Amazon's binary event stream."""
