"""WHO: teams, members, roles, tiers, keys, audit."""
