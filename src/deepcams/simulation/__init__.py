"""The parts of the simulated world: sphere (maps and sampling), winds, emissions, the world, and its writers."""
