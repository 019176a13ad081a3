"""The folder ``tables`` of a model: what a paper and its supplement can take."""

from __future__ import annotations

from pathlib import Path

from bids_acc.derivatives.outputs import output_path
from bids_acc.files.writing import write_bytes
from bids_acc.group.page.content import own_names, shown_tables
from bids_acc.group.page.paper_tables import as_csv, as_markdown, codebook, paper_tables
from bids_acc.group.state import GroupRun

HEAD = (
    '# Tables\n\n'
    'Primary results as the model file declares them, in the form of the American Psychological '
    'Association. The CSV file of each table has the same rows with every column and all digits; '
    'desc-tables_codebook.csv says what the columns are. The same by other means, and what could '
    'not be done, is in the folder stats.\n\n'
)


def write_paper_tables(run: GroupRun) -> list[Path]:
    """Write each primary result as Markdown and CSV, all of them as one file, and the codebook.

    Parameters
    ----------
    run : GroupRun
        With its tables.

    Returns
    -------
    list of Path
        What was written; nothing without results.
    """
    confidence = 0.95 if run.model is None else run.model.confidence
    made = list(paper_tables(shown_tables(run), own_names(run), confidence))
    if not made:
        return []
    texts = {
        output_path('group_paper_tables', run.folder): HEAD
        + '\n'.join(as_markdown(table) for table in made),
        output_path('group_paper_codebook', run.folder): as_csv(codebook(made)),
    }
    for table in made:
        plain = table.name.replace('_', '')
        texts |= {
            output_path('group_paper_table', run.folder, desc=plain): as_markdown(table),
            output_path('group_paper_csv', run.folder, desc=plain): as_csv(table.data),
        }
    for path, text in texts.items():
        write_bytes(path, text.encode())
    return list(texts)
