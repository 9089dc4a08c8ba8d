"""One HTML file that tells what a run did: settings, provenance, tables, pictures; nothing outside it is needed."""
