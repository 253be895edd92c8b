"""Pages about people: a team's members, one's own account, joining by invitation."""
