"""Sequence design, and other searches by a generative model or a trained stand-in."""
