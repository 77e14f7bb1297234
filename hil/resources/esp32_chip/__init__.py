"""An ESP32 without silicon: MicroPython's modules `machine`, `network`, `esp32`, and what `vfs` and `time` have there.

Contract fakes for the firmware's `meter/board/esp32*.py`, written after the sources of MicroPython 1.25 (ports/esp32):
each refuses, waits and reports as those do, the awkward sides included. They run under CPython and under MicroPython's
unix port, so no typing, no dataclasses. `chip.CHIP` is the chip; a test sets what surrounds it there.
"""
