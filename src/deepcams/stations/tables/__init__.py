"""Tables and figures of the comparison with stations."""
