"""How good a method is: statistics that add, against a known truth."""
