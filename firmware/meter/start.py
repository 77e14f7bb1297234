"""The start that all boards share: from the path of config.json to all that the meter needs to measure.

What cannot be made ready is named with its reason, and the steps behind it are tried all the same, as far as they can
be: safe mode uses what there is. Nothing here signs, and no key is made where a meter has ever signed.
"""

from binascii import crc32

from meter import config, keystore, last_good, profile
from meter.configuration import Store
from meter.errors import ClaimError, ConfigError, MeterError, StorageError, in_words
from meter.journal import Journal

CONFIGURATION, STORAGE, KEY, FAULT = "configuration", "storage", "key", "fault"
"""Why a meter cannot measure: the words of the status hint `safe <reason>`."""


class Parts:
    """What is ready: None where it is not. `reason` and `text` say what stands in the way of measuring.

    Without `config` nobody is known to whom that could be reported.
    """

    def __init__(self):
        self.reason = self.text = None
        self.config = None
        self.claim = self.storage = self.store = self.journal = self.key = None

    def blame(self, reason, error):
        """Note why the meter cannot measure; what came first stands."""
        if self.reason is None:
            self.reason, self.text = reason, text_of(error)

    def close(self):
        """Let go of the storage, so that it can be claimed again."""
        if self.claim is not None:
            self.claim.close()
            self.claim = None


def make_ready(board, path, step_done):
    """Return the Parts of the meter that *path* configures; `step_done()` is called after each step.

    Raises ClaimError where another process runs this meter.
    """
    parts = Parts()
    for reason, step in _STEPS:
        try:
            step(parts, board, path)
        except ClaimError:
            raise
        except Exception as error:  # whatever a damaged file does to the code that reads it, the meter goes on
            parts.blame(reason, error)
        step_done()
        if parts.config is None:
            break
    return parts


def look(paths):
    """Return a fingerprint of the files *paths*: another one means that somebody has been at work on them."""
    found = []
    for path in paths:
        try:
            found.append(crc32(config.read(path)))
        except OSError:
            found.append(None)
    return found


def text_of(error):
    """Return what *error* says, in one line; with its type where it is none of the meter's own."""
    text = in_words(error).replace("\n", " ")
    return text if isinstance(error, MeterError) else "{}: {}".format(type(error).__name__, text)


def _configure(parts, board, path):
    try:
        parts.config = config.load(path)
        board.check(parts.config)
        profile.load(parts.config.profile)
    except ConfigError:
        parts.config = last_good.load(path)
        raise


def _open_storage(parts, board, path):
    folder = parts.config.data_dir
    try:
        parts.storage = board.Directory(folder)
        parts.claim = board.claim(folder)
        parts.store = Store(parts.storage, parts.config)
    except ConfigError:
        parts.config = last_good.load(path) and parts.config  # a first start with a wrong data_dir ends
        raise
    except OSError as error:
        raise _unusable(parts, error) from None


def _open_journal(parts, board, _):
    if parts.claim is None:
        return  # it may be another's
    folder = parts.config.data_dir
    try:
        log, archive = [board.Directory(folder + "/" + name) for name in ("journal", "archive")]
        parts.journal = Journal(log, archive, parts.storage, board.journal_files())
    except (ConfigError, OSError) as error:
        raise _unusable(parts, error) from None


def _unlock(parts, board, _):
    has_signed = parts.journal is None or parts.journal.has_signed()
    parts.key = keystore.load(parts.storage) if has_signed else keystore.load_or_make(parts.storage, board)


def _try_storage(parts, _, __):
    """Reserve numbers, as the first reading would: what cannot be kept must not be signed."""
    if parts.reason is None:
        try:
            parts.journal.link()
        except OSError as error:
            raise _unusable(parts, error) from None


def _unusable(parts, error):
    return StorageError(
        "cannot keep readings in {}: {}; mend it or make room".format(parts.config.data_dir, in_words(error))
    )


_STEPS = (
    (CONFIGURATION, _configure),
    (STORAGE, _open_storage),
    (STORAGE, _open_journal),
    (KEY, _unlock),
    (STORAGE, _try_storage),
)
