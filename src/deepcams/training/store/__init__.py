"""Training stores: preparation from files, checks, and reading."""
