"""A worker as several processes: the command starts, watches, replaces and ends one for each group of roles."""
