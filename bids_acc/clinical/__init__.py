"""From a patient's treatment history to a response group, rule by rule.

``history`` reads and checks the tables, ``equivalents`` makes doses comparable, ``logic`` reasons
with evidence that may be missing, ``criteria`` holds the published definitions and ``classify``
applies them. A label is given only when every rule it needs is known; otherwise the label is
``undetermined`` and the trace says which rule lacks evidence.
"""
