"""The field of Ed25519, native where there is an emitter. Runs on every interpreter."""

from meter import field

LARGEST_LIMB = 8193


def answer(case: list) -> list:
    """Return of two numbers of twenty limbs: product, sum, difference, what their bytes load as; in place, too."""
    a, b = [_element(limbs) for limbs in case]
    results = [field.new() for _ in range(4)]
    product, total, difference, loaded = results
    field.multiply(product, a, b)
    field.cross(total, difference, a, b)
    field.load(loaded, bytes([limb & 255 for limbs in case for limb in limbs]), 7)
    numbers = [hex(field.number(element)) for element in results]
    field.cross(b, a, a, b)
    numbers += [hex(field.number(element)) for element in (a, b)]
    field.multiply(a, a, a)
    field.raise_to_root(b)
    numbers += [hex(field.number(element)) for element in (a, b)]
    assert _all_small(results + [a, b])
    return numbers


def _element(limbs: list) -> list:
    element = field.new()
    if len(element) == len(limbs):
        for place in range(len(limbs)):
            element[place] = limbs[place]
    else:
        element[0] = sum([limb << 13 * place for place, limb in enumerate(limbs)])
    return element


def _all_small(elements: list) -> bool:
    """Tell whether all limbs are as small as the native functions want them; the plain ones have but one."""
    return max([max(element) for element in elements if len(element) > 1] or [0]) <= LARGEST_LIMB
