"""Biological sequence design: measured and closed-form fitness landscapes, and how hard a start they are given."""

from designopt.envs.protein.tags import separated

__all__ = ["separated"]
