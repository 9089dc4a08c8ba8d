"""From fine hourly fields to trained networks: prepared stores, samples, the loop. Importing it imports no torch."""
