"""Names of columns that differ from what is asked for in case only: SAS writes all in capitals."""

from __future__ import annotations

from collections.abc import Iterable

from bids_acc.tables.ranges import plain_name


def spelt_as_asked(
    columns: Iterable[str], wanted: Iterable[str], where: str
) -> tuple[dict[str, str], list[str]]:
    """Match columns to names that differ from theirs in case and signs only.

    Parameters
    ----------
    columns : iterable of str
        Of a table.
    wanted : iterable of str
        Names in a model file.
    where : str
        The table, for the message.

    Returns
    -------
    renamed : dict of str to str
        Column to the name that is asked for; nothing where the name is there, or two columns
        could be meant.
    notes : list of str
        A sentence that says so.

    Examples
    --------
    >>> spelt_as_asked(['SEX', 'Age', 'age_'], ['sex', 'age'], 'participants.tsv')
    ({'SEX': 'sex'}, ["participants.tsv: SEX is the model's sex (case and signs differ only)."])
    """
    there = [str(column) for column in columns if column not in ('participant_id', 'session_id')]
    wanted = set(wanted)
    renamed: dict[str, str] = {}
    for name in sorted(wanted - set(there)):
        like = [c for c in there if c not in wanted and plain_name(c) == plain_name(name)]
        if len(like) == 1 and like[0] not in renamed:
            renamed[like[0]] = name
    if not renamed:
        return {}, []
    pairs = ', '.join(f"{column} is the model's {name}" for column, name in renamed.items())
    return renamed, [f'{where}: {pairs} (case and signs differ only).']
