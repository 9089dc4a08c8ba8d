"""How fast it is: ratios of things timed side by side in one run, because machines differ and are shared."""
