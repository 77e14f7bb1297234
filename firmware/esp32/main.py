# The main.py of an ESP32: it runs after each start, and leaves the prompt when somebody presses Ctrl-C.
import meter

meter.run()
