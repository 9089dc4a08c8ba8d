"""Find, recognise, check and open data files, whatever variables they hold."""
