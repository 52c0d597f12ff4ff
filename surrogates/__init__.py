"""Models that stand in for an expensive evaluation."""
