"""Which columns of people a model names."""

from __future__ import annotations

from bids_acc.group.statistics.model.declaration import Model


def asked_columns(model: Model) -> set[str]:
    """Return the columns of people that a model names; patterns and measures are none.

    Parameters
    ----------
    model : Model
        Checked model.

    Returns
    -------
    set of str
    """
    content = model.content
    visits = content['Sessions']
    improvement = visits['Improvement'] or {'Score': None}
    names = [
        model.group.column, model.cohort, content['Sites']['Column'], visits['ResponseColumn'],
        improvement['Score'], *(c.column for c in model.covariates),
        *content['Clinical']['Scores'], *content['Demographics']['Continuous'],
        *content['Demographics']['Categorical'],
    ]  # fmt: skip
    names += [name for rule in content['Subsamples'] for name in rule.get('Where') or {}]
    return {str(name) for name in names if name}
