"""What ``deepcams validate`` does: open, compare, write tables, draw figures."""
