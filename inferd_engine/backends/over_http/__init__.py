"""What every backend that asks over HTTP needs."""
