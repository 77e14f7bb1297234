"""Numbers modulo 2²⁵⁵ - 19, the field of Ed25519: elements are changed in place, so that signing leaves no garbage."""

try:
    from meter.field_viper import P, cross, load, multiply, new, number, raise_to_root
except (ImportError, SyntaxError, ValueError):  # CPython; no emitter here; an .mpy file for another architecture
    from meter.field_plain import P, cross, load, multiply, new, number, raise_to_root

__all__ = ("P", "cross", "load", "multiply", "new", "number", "raise_to_root")
