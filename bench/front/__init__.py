"""The deployment front: what each registered model gives, and what it costs, in every target and precision.

``rows`` measures one model's artifacts, ``rank`` says which rows are dominated, ``page`` draws and writes, ``__main__`` is the
command. Kept in ``docs/benchmarks/front.json``; what ``onenet models --table`` shows of it travels with the package.
"""
