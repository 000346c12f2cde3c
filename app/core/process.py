"""How a worker leaves where it can't go on."""

from collections.abc import Callable
from typing import Final, NoReturn

EX_SOFTWARE: Final = 70
EX_CONFIG: Final = 78


Terminate = Callable[[int], NoReturn]
