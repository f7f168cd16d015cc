"""Many calls: streams read together, batches, retries and routes."""
