"""Physical checks of intervals, before they are reported, and the alarms that their findings raise."""
