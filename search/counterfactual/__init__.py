"""Counterfactual design recommendations."""
