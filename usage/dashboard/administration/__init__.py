"""Pages of the platform's administrators: teams, tiers, admin keys, settings, and the audit log."""
