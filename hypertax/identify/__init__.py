"""Names for specimens that nobody has named: a library of references, answers with probabilities, a report.

`Identifier` is the object for people's own code; `python -m hypertax identify` is the command.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answer": ["ANSWER_COLUMNS"],
        "identifier": ["Identifier"],
        "reference": ["Library"],
    },
)
