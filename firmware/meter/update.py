"""An update on its way into the meter: received piece by piece, put on trial, confirmed by a receipt or rolled back.

The meter pulls. Its answer is the hint `update <version> <state>` on the status topic, the state being the index of the
next piece that is wanted, or what became of it: `trial`, `confirmed`, `rolled-back <reason>`, `refused <reason>`.
Whoever sends asks by sending the manifest anew: then the answer comes again. So a lost message costs nothing but time.
"""

from meter import envelope, manifest, slots
from meter.errors import MalformedError

PIECES_PER_ANSWER = 8
"""After so many pieces the meter asks for the next."""


class Updater:
    """The updates of one meter that runs the image in slot *running* (None: the copy that it was delivered with).

    *found* are its Slots, or None where no launcher started it: then it refuses updates. `config` says which meter this
    is and whose signature counts; whoever reads another one sets it. `say(version, state)` is told
    whatever becomes of one. All methods but `version` and `wants_restart` may raise OSError: the flash failed, and the
    next message, or the next start, goes on from what it has.
    """

    def __init__(self, found, running, config, board, say):
        self._slots = found
        self._running = running
        self.config = config
        self._board = board
        self._say = say
        self._wanted = None  # Manifest of the image that comes in
        self._next = None  # index of the piece to write next, if that is known
        self._started = board.ticks_ms()
        self._trial_ms = 1000 * found.manifest(running).trial_s if self._is_on_trial() else None
        self.version = found.version(running) if found else 0
        self.wants_restart = False

    def start(self):
        """Say what the last update came to, and go on with one that an earlier run began."""
        if self._slots is None:
            return
        state = self._slots.state
        if self._is_on_trial():
            self._say(self.version, "trial")
        elif state.failed:
            self._say(state.failed, _rolled_back(state))
        if state.stage == slots.RECEIVING:
            self._resume()

    def take(self, message):
        """Take a manifest or a piece; raises MalformedError where it is neither, or not the campus'."""
        if envelope.kind_of(message) == envelope.PIECE:
            self._take_piece(manifest.decode_piece(message))
        else:
            self._take_manifest(message, manifest.decode(message))

    def note_receipt(self):
        """Confirm the version on trial: a reading that it signed is durably stored."""
        if self._is_on_trial():
            self._slots.confirm()
            self._board.limit_trial(0)
            self._say(self.version, "confirmed")

    def check_trial(self):
        """Roll the version on trial back where its time is over and it got no receipt."""
        if self._is_on_trial() and self._board.ticks_since(self._started) > self._trial_ms:
            self._slots.fail(slots.RECEIPT)
            self._say(self.version, _rolled_back(self._slots.state))
            self.wants_restart = True

    def _is_on_trial(self):
        found = self._slots
        return found is not None and found.state.stage == slots.TRIAL and self._running == found.other

    def _take_manifest(self, sealed, offered):
        reason = self._refusal(sealed, offered)
        if reason is None:
            self._slots.begin(sealed)
            self._next = None
            self._resume()
        elif reason:
            self._say(offered.version, "refused " + reason)
            raise MalformedError("update {} refused: {}".format(offered.version, reason))

    def _refusal(self, sealed, offered):
        """Return why the update *offered* is not taken; None: it is; empty: it is known, and was answered."""
        if offered.meter_id != self.config.meter_id:
            return "meter"
        if self._slots is None:
            return "launcher"
        if self._answer(offered):
            return ""
        state = self._slots.state
        if offered.version <= max(state.highest, state.failed, self._wanted.version if self._wanted else 0):
            return "version"
        if offered.target != self._board.TARGET:
            return "target"
        if offered.size > self._slots.capacity():
            return "size"
        if state.stage == slots.TRIAL or self.wants_restart:
            return "busy"
        return None if envelope.is_signed_by(sealed, self.config.campus_key) else "signature"

    def _answer(self, offered):
        """Say what became of the update *offered*, if it is known; tell whether it is.

        Known is an image by version and SHA-256: the same one may be offered anew with another trial_s. Nobody has
        checked its signature yet, so nothing but the answer comes of it: what was taken before stays as it was.
        """
        state, other = self._slots.state, self._slots.other
        if self._is_image_of(state.confirmed, offered):
            self._say(offered.version, "confirmed")
        elif state.stage == slots.TRIAL and self._is_image_of(other, offered):
            self._say(offered.version, "trial")
        elif state.stage == slots.RECEIVING and self._is_image_of(other, offered):
            self._resume()
        elif offered.version == state.failed:
            self._say(offered.version, _rolled_back(state))
        else:
            return False
        return True

    def _is_image_of(self, slot, offered):
        held = self._slots.manifest(slot)
        return held is not None and (held.version, held.sha256) == (offered.version, offered.sha256)

    def _resume(self):
        """Ask for the next piece of the image that comes in, or put it on trial when there is none left."""
        if self._next is None:
            found = self._slots
            self._wanted = found.manifest(found.other)
            self._next = found.find_progress()
        if self._next < manifest.count(self._wanted):
            self._say(self._wanted.version, str(self._next))
        else:
            self._complete()

    def _take_piece(self, piece):
        if self._next is None or piece.version != self._wanted.version or piece.index != self._next:
            return  # a repeat, one that overtook another, or one of an update that is over
        if not manifest.is_part(self._wanted, piece.index, piece.data):
            raise MalformedError("piece {} of update {} is not the campus'".format(piece.index, piece.version))
        self._next = None  # unknown, if writing fails
        self._slots.write(piece.index, piece.data)
        self._next = piece.index + 1
        if self._next == manifest.count(self._wanted):
            self._complete()
        elif self._next % PIECES_PER_ANSWER == 0:
            self._say(piece.version, str(self._next))

    def _complete(self):
        version = self._wanted.version
        self.wants_restart = self._slots.complete()
        self._wanted = self._next = None
        self._say(version, "trial" if self.wants_restart else "refused image")


def _rolled_back(state):
    return "rolled-back " + slots.REASONS[state.reason]
