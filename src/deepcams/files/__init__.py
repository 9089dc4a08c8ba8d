"""Files and folders: atomic writes, locks, records, the cache."""
