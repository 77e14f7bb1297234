# What is frozen into the firmware: MicroPython's own choice, and the meter as `make firmware` prepared it.
include("$(PORT_DIR)/boards/manifest.py")
package("meter", base_path="../../build/firmware/frozen")
