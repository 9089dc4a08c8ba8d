"""The needs of a long run on a cluster, from a short measured one: hours, bytes, memory, wall time, a script."""
