"""Numbers that a claim can stand on: scores, probabilities, intervals, comparisons and ceilings. NumPy arrays in."""

from .claims import (
    expect_within,
    gap_closed,
    mcnemar,
    mean_and_interval,
    paired_bootstrap,
    share_of_ceiling,
    standard_error,
)
from .decisions import (
    auc,
    average_precision,
    brier_parts,
    brier_score,
    by_group,
    cost_threshold,
    group_bootstrap,
    net_benefit,
    precision_recall,
    prior_corrected,
    roc,
    wilson,
)
from .probabilities import brier, calibration_error, fit_temperature, log_loss, reliability
from .scores import accuracy, bootstrap_interval, cohen_kappa, confusion_matrix, fleiss_kappa, precision_recall_f1

__all__ = [
    "accuracy",
    "expect_within",
    "bootstrap_interval",
    "brier",
    "calibration_error",
    "cohen_kappa",
    "confusion_matrix",
]
__all__ += ["fit_temperature", "fleiss_kappa", "gap_closed", "log_loss", "mcnemar", "mean_and_interval"]
__all__ += ["paired_bootstrap", "precision_recall_f1", "reliability", "share_of_ceiling", "standard_error"]
__all__ += ["auc", "average_precision", "brier_parts", "brier_score", "by_group", "cost_threshold", "group_bootstrap"]
__all__ += ["net_benefit", "precision_recall", "prior_corrected", "roc", "wilson"]
