"""Tables as people write them: text, labels, missing words, numbers and their ranges.

Files of this package are read with `reading.read_tsv`, tables of people (participants.tsv,
sessions.tsv, phenotype) with `people.read_people_table`; labels of participants and sessions are
matched by `labels.match_labels` only.
"""
