"""No reduction: the plain model, the baseline of every table."""

from models.reduction._base import Reduction, register


@register
class Plain(Reduction):
    """Every token stays."""
