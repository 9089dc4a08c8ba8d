"""Forecast the needs of a long run on a cluster from a short measured run: size, memory, wall time, batch script."""
