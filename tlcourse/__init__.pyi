from . import arguments as arguments
from . import bert as bert
from . import checks as checks
from . import cli as cli
from . import data as data
from . import doctor as doctor
from . import embeddings as embeddings
from . import finetuning as finetuning
from . import inputs as inputs
from . import lessons as lessons
from . import mapping as mapping
from . import models as models
from . import multitask as multitask
from . import notices as notices
from . import paths as paths
from . import recorded as recorded
from . import runtime as runtime
from . import scores as scores
from . import training as training
from . import widgets as widgets

__version__: str
