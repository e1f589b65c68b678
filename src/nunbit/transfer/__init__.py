"""Files over the network: resumed, checked, from the first place that has them right.

Named sets and published weights both come this way. What a file has to hold is the
business of whoever asks for it.
"""

from nunbit.transfer.lock import LOCK_NAME, sole_use
from nunbit.transfer.meter import Meter, Progress, size_text
from nunbit.transfer.mirrors import NoPlaceError, WrongBytesError, fetch_from_any, page_hint
from nunbit.transfer.offline import OFFLINE, is_offline

__all__ = [
    "LOCK_NAME",
    "OFFLINE",
    "Meter",
    "NoPlaceError",
    "Progress",
    "WrongBytesError",
    "fetch_from_any",
    "is_offline",
    "page_hint",
    "size_text",
    "sole_use",
]
