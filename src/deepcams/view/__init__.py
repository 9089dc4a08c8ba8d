"""Interactive map in the browser: a small local server and its page.

It consists of the standard library and one page of plain JavaScript, so it needs no further packages and no network: a
plotting server would add 20 packages, and would send images instead of values.
"""
