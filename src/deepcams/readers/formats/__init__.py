"""Files found, recognised, checked and opened, whatever is in them."""
