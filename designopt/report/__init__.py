"""What a run found, for people: terminal tables, figures, one self-contained HTML page, live progress."""

from designopt.report.figures import constraints, convergence, pareto
from designopt.report.html import write_report
from designopt.report.picture import save_convergence
from designopt.report.progress import ProgressDisplay
from designopt.report.sweep_page import write_sweep_report
from designopt.report.table import best_table, print_result

__all__ = [
    "ProgressDisplay",
    "best_table",
    "constraints",
    "convergence",
    "pareto",
    "print_result",
    "save_convergence",
    "write_report",
    "write_sweep_report",
]
