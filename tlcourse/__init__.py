"""Transfer learning in NLP, hands on: the code behind the course's notebooks.

Importing the package is instant; a module is loaded when it is first used::

    import tlcourse

    vectors = tlcourse.embeddings.load_glove(limit=1_000)
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
