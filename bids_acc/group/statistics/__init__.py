"""The analyses that a model file asks for: study in, tables with one row per test out.

model, proposal -> study -> analyses (listed in ``analyses``) -> rows -> tables and figures;
``run`` goes through them in order.
"""
