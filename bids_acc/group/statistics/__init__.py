"""The analyses that a model file asks for: study in, tables with one row per test out.

model -> study -> analyses (listed in ``analyses.order``) -> rows -> tables and figures; ``run``
goes through them in order.
"""
