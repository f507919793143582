"""Changes of a file that has been written: flips, cuts, exchanges."""

TIMES = 300


def mutations(files, rng):
    """(what was done, file, its new bytes; None for a file that is gone)."""
    for name in files:
        yield f"{name} deleted", name, None
    for i in range(TIMES):
        name = list(files)[i % len(files)]
        data = bytearray(files[name])
        at = int(rng.integers(len(data)))
        match i // len(files) % 6:
            case 0 | 1:
                data[at] ^= 1 << int(rng.integers(8))
            case 2:
                data[at] = int(rng.integers(256))
            case 3:
                del data[at : at + int(rng.integers(1, 4))]
            case 4:
                data = data[:at]
            case 5:
                data[at:at] = rng.bytes(int(rng.integers(1, 4)))
        yield f"{name} at {at}, mutation {i}", name, bytes(data)
