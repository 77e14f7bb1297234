"""What the meter does on a message that comes in: nothing but this lets the campus or the gateway change anything.

The same in normal operation and in safe mode, where the journal or the store of configurations may be out of reach.
"""

from meter import envelope, receipt
from meter.errors import MalformedError, in_words


class Inbox:
    """Takes each message of the receipt topic.

    *store* (a configuration.Store) and *journal* are None where they cannot be used; *updates* is an Updater.
    `heard(message kind)` is called with what was taken: "configured" or "receipted", or "missing" where a receipt shows
    that the journal lost readings, which it can now tell of; `send_again(first, last)` with the
    epochs that the campus wants once more; `complain(text)` with what is wrong with a message.
    """

    def __init__(self, board, store, journal, updates, heard, send_again, complain):
        self._board = board
        self._store = store
        self._journal = journal
        self._heard = heard
        self._send_again = send_again
        self._complain = complain
        self.beacon = None
        self._stray = None  # number of the receipt that was complained of last
        self._kinds = {
            envelope.CONFIGURATION: ("configuration", self._configure),
            envelope.UPDATE: ("update", updates.take),
            envelope.PIECE: ("update", updates.take),
        }

    def accept(self, message):
        """Take *message*; tell whether it was a receipt that brought the journal on."""
        name, take = self._kinds.get(envelope.kind_of(message), ("receipt", self._settle))
        try:
            return bool(take(message))
        except (MalformedError, OSError) as error:
            self._complain("{} ignored: {}".format(name, in_words(error)))
            return False

    def _configure(self, message):
        """Let a configuration hold from now on; the next reading says which one does."""
        if self._store is None:
            raise MalformedError("the meter cannot store it")
        found = self._store.take(message)
        if found is None:
            return  # a repeat, or an old one
        self._board.emit({"event": "configured", "number": found.number})
        self._heard("configured")
        if found.resend:
            self._send_again(found.resend[0], found.resend[1])

    def _settle(self, message):
        """Let the journal go on from a receipt; tell whether it did."""
        if self._journal is None or self._store is None:
            raise MalformedError("the journal is out of reach")
        offered = receipt.decode(message)
        if offered.meter_id != self._store.config.meter_id:
            raise MalformedError("a receipt for another meter")
        if offered.sequence <= self._journal.receipted:
            return False  # a repeat: not worth the signature check
        if not receipt.is_authentic(message, self._store.config.gateway_keys):
            raise MalformedError("a receipt that none of the gateway keys signed")
        if self._journal.jump(offered.sequence, offered.hash):
            self._complain("readings were forgotten here: numbers go on behind {}".format(offered.sequence))
            return False
        if not self._journal.settle(offered.sequence, offered.hash):
            return self._miss(offered)
        if offered.beacon:
            self.beacon = offered.beacon  # the latest word of whichever gateway: a false one is not kept for long
        self._board.emit({"event": "receipted", "sequence": offered.sequence})
        self._heard("receipted")
        return True

    def _miss(self, offered):
        """Let the journal tell of its loss, or say once for each number what is wrong with the receipt *offered*."""
        is_new, self._stray = offered.sequence != self._stray, offered.sequence
        if self._journal.miss(offered.sequence, offered.hash):
            self._heard("missing")
        elif is_new:
            raise MalformedError(
                "{} is not in this journal as the gateway has it; should no newer one come, a restored journal, or else"
                " `campusgrid gateway adopt` for this meter, lets its chain go on".format(offered.sequence)
            )
        return False
