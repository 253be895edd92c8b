"""Pages of keys: the list, a key's own page, making one, and what can be done to one."""
