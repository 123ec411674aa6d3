"""What `import pyrunc` offers, for type checkers: __init__.py loads each name when it is used."""

from pyrunc import aio as aio
from pyrunc.errors import ConfigError as ConfigError
from pyrunc.errors import HookError as HookError
from pyrunc.errors import OpError as OpError
from pyrunc.errors import PyruncError as PyruncError
from pyrunc.errors import StateError as StateError
from pyrunc.errors import UnsupportedError as UnsupportedError
from pyrunc.errors import UsageError as UsageError
from pyrunc.library.bundle import Bundle as Bundle
from pyrunc.library.bundle import check as check
from pyrunc.library.bundle import features as features
from pyrunc.library.bundle import plan as plan
from pyrunc.library.channel import close as close
from pyrunc.library.container import Container as Container
from pyrunc.library.process import Process as Process
from pyrunc.library.state import State as State
from pyrunc.library.streams import DEVNULL as DEVNULL
from pyrunc.library.streams import PIPE as PIPE
from pyrunc.library.streams import STDOUT as STDOUT

__version__: str
