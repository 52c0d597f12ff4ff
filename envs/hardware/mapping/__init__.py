"""Mapping of a layer on a two-level array of processing elements: MAESTRO's model, and a corrected one."""

from designopt.envs.hardware.mapping.analysis import Analysis, analyse
from designopt.envs.hardware.mapping.directives import Directive, Layer, LevelMapping, parse

__all__ = ["Analysis", "Directive", "Layer", "LevelMapping", "analyse", "parse"]
