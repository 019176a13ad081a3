"""Scripts in R and Python that compute one row of the report from the table of measures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.files.writing import write_bytes
from bids_acc.group.formulas.linear import f_survival
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.tables.reading import number

PYTHON = """\
# One row of {where}, computed from measures.tsv:
# {response}, cohort {cohort}: term group, F = {f:.6g}, p = {p:.6g}{other}
import os
import pandas as pd
import statsmodels.formula.api as smf

here = os.path.dirname(os.path.abspath(__file__))
m = pd.read_csv(os.path.join(here, 'measures.tsv'), sep='\\t', na_values='n/a')
m = m.copy()  # one block of memory for so many columns
m['group_'] = m[{group!r}]{as_text}.replace({recode!r})
m = m[m['group_'].isin({levels!r}){cohort_rule}{session_rule}]
m = m.dropna(subset={columns!r})
full = smf.ols({full!r}, m).fit()
reduced = smf.ols({reduced!r}, m).fit()
f, p, df = full.compare_f_test(reduced)
print(f'F({{df:.0f}}, {{full.df_resid:.0f}}) = {{f:.6g}}, p = {{p:.6g}}')
"""

R = """\
# One row of {where}, computed from measures.tsv:
# {response}, cohort {cohort}: term group, F = {f:.6g}, p = {p:.6g}{other}
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
m <- read.delim(file.path(here, "measures.tsv"), na.strings = "n/a", check.names = FALSE,
                quote = "", comment.char = "")
group_ <- as.character(m[[{group_r}]])
{recode_r}m$group_ <- group_
m <- m[m$group_ %in% c({levels_r}){cohort_rule_r}{session_rule_r}, ]
m <- m[complete.cases(m[, c({columns_r}, "group_")]), ]
full <- lm({full_r}, data = m)
reduced <- lm({reduced_r}, data = m)
test <- anova(reduced, full)
cat(sprintf("F(%d, %d) = %.6g, p = %.6g\\n", test$Df[2], full$df.residual, test$F[2],
            test[["Pr(>F)"]][2]))
"""


def write_snippets(
    folder: Path, model: Model, tables: Mapping[str, pd.DataFrame], first_session: str | None
) -> list[Path]:
    """Write the two scripts beside the table of measures.

    Parameters
    ----------
    folder : Path
        Where ``measures.tsv`` lies.
    model : Model
        Of the report.
    tables : mapping of str to DataFrame
        Finished tables; the first group test of ``ancova`` is the example.
    first_session : str or None
        Session that is analysed, None without sessions.

    Returns
    -------
    list of Path
        Empty when the report has no such row, or the model has splines or covariates of some
        groups only, which the programs of the scripts code in other ways.
    """
    table = tables.get('ancova')
    if table is None or 'term' not in table:
        return []
    # a spline's basis and a covariate of one cohort take more than the few lines that teach
    if any(covariate.spline or covariate.only_in for covariate in model.covariates):
        return []
    rows = table[(table['term'] == 'group') & table['p_unc'].notna() & table['component'].notna()]
    if rows.empty:
        return []
    values = _values(model, rows.iloc[0], first_session)
    written = []
    for name, template in (('measures_example.py', PYTHON), ('measures_example.R', R)):
        write_bytes(folder / name, template.format(**values).encode())
        written.append(folder / name)
    return written


def _quoted(names: list[str]) -> str:
    """Write texts as R's strings."""
    return ', '.join(json.dumps(name, ensure_ascii=False) for name in names)


def _as_text(words: Sequence[str]) -> str:
    """Return how Python makes text of a column: codes are 1.0 to pandas where a cell is empty."""
    if all(number(word) is not None for word in words):
        return ".map('{:.15g}'.format)"
    return '.astype(str)'


def _values(model: Model, row: pd.Series, first_session: str | None) -> dict[str, object]:
    """Fill in what differs from report to report."""
    response, cohort = str(row['response']), str(row['cohort'])
    group = model.group
    # what the row's model had, which is less where a group is one person or a covariate constant
    counted = {cell.rpartition('=')[0] for cell in str(row['n_per_group']).split(';')}
    levels = [level for level in group.levels if level in counted]
    used = [name for name in str(row['covariates']).split(', ') if name not in ('', 'nan')]
    kinds = {c.name: c.kind for c in model.covariates}
    covariates = [(name, kinds.get(name, 'continuous')) for name in used]
    in_python = [f'Q({n!r})' if k == 'continuous' else f'C(Q({n!r}))' for n, k in covariates]
    in_r = [f'`{n}`' if k == 'continuous' else f'factor(`{n}`)' for n, k in covariates]
    columns = [response, *dict.fromkeys([*model.covariate_names, *used])]
    with_cohort = model.cohort is not None
    # of the parametric F, which a few lines of R or Python compute; a permuted p is told beside it
    p = f_survival(float(row['value']), float(row['df1']), float(row['df2']))
    same = np.isclose(p, row['p_unc'], rtol=1e-4)
    other = '' if same else f' (by permutation, as in the report: {row["p_unc"]:.6g})'
    return {
        'where': 'stats/ancova.tsv', 'response': response, 'cohort': cohort,
        'f': row['value'], 'p': p, 'other': other, 'group': group.column,
        'recode': dict(group.recode), 'levels': levels, 'columns': columns,
        'as_text': _as_text(group.levels),
        'cohort_rule': f' & m[{model.cohort!r}]{_as_text([cohort])}.eq({cohort!r})'
        if with_cohort else '',
        'session_rule': f" & m['session_id'].eq({first_session!r})" if first_session else '',
        'full': f'Q({response!r}) ~ ' + ' + '.join(['C(group_)', *in_python]),
        'reduced': f'Q({response!r}) ~ ' + (' + '.join(in_python) or '1'),
        'group_r': json.dumps(group.column), 'levels_r': _quoted(levels),
        'columns_r': _quoted(columns),
        'recode_r': ''.join(
            f'group_[group_ == {json.dumps(a)}] <- {json.dumps(b)}\n'
            for a, b in group.recode.items()
        ),
        'cohort_rule_r': f' & m[[{json.dumps(model.cohort)}]] == {json.dumps(cohort)}'
        if with_cohort else '',
        'session_rule_r': f' & m$session_id == {json.dumps(first_session)}'
        if first_session else '',
        'full_r': f'`{response}` ~ ' + ' + '.join(['factor(group_)', *in_r]),
        'reduced_r': f'`{response}` ~ ' + (' + '.join(in_r) or '1'),
    }  # fmt: skip
