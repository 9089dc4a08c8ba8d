"""A map to move about in: a small server of this machine alone, and the page that it gives to the browser.

Made of the standard library and one page of plain JavaScript, so that it needs no further package and no network:
a plotting server would bring 20 packages, and would send pictures where values are wanted.
"""
