"""Station files to one sorted, checked archive."""
