"""The rig: virtual and real bench hardware, the virtual campus, scenarios and faults."""
