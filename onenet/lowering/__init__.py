"""Exact rewrites of a traced network into operations that every converter maps onto fast kernels.

``driver`` runs the rules of ``rules/`` in order, in float64, and ``proof`` shows on the network at hand that the result is
the same. ``tiling`` finds the tiles in which larger images run through it.
"""

from onenet.lowering.driver import ArrangedModule, LoweredModule, arrange, lower, lower_module
from onenet.model import RuleResult

__all__ = ["ArrangedModule", "LoweredModule", "RuleResult", "arrange", "lower", "lower_module"]
