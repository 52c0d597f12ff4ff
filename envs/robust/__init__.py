"""Two-stage robust problems: decide now, watch the worst case happen, repair what can be repaired."""
