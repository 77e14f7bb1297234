"""SHA-512 (FIPS 180-4). No MicroPython port's hashlib has it, and Ed25519 needs it."""

try:
    from meter.sha512_viper import hash_blocks
except (ImportError, SyntaxError, ValueError):  # CPython; no emitter here; an .mpy file for another architecture
    from meter.sha512_plain import hash_blocks


def sha512(data):
    """Return the 64-byte digest of *data*."""
    return hash_blocks(data + b"\x80" + bytes((111 - len(data)) % 128) + (8 * len(data)).to_bytes(16, "big"))
