"""A loss as a plugin: after ``pip install ./examples/margin_loss`` any recipe that names its loss can use it.

gancore train --domain audio --set model.loss=margin
"""

from gancore import LossEntry, hookimpl


@hookimpl
def gancore_losses():
    return [LossEntry("margin", "margin_loss:margin", "the hinge loss with half its margin")]


def margin(width: float = 0.5):
    from torch.nn.functional import relu  # here, and not above: listing plugins imports no torch

    from gancore.games import AdversarialLoss

    return AdversarialLoss(
        lambda r, f: relu(width - r) + relu(width + f), lambda r, f: -f, logit_is_log_odds=False
    )
