"""A cache of compiled programs on disk, so that a second process does not compile what a first one has compiled.

JAX decides which program is which: an entry's key is a hash of the program, the compiler's options, the versions and the
devices. This module decides where entries are kept and that they are sound. JAX's own store writes entries in place, so
that a process killed while it writes leaves half an entry, which then fails to load, with a warning, in every later
process; here an entry is written beside its place and renamed, carries a checksum, and is removed if that does not hold.
Compiled code for a CPU may use instructions that another CPU lacks, so that each kind of CPU has its own folder.
"""

import hashlib
import os
import platform
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

VARIABLE = "SUPERPOSITION_CACHE"
CAP = 512 << 20  # bytes of all entries together, of every kind of CPU
MIN_SECONDS = 0.0  # measured: the smallest program takes ten times longer to compile than to read back
DIGEST = 32  # bytes of the checksum in front of an entry
SUFFIX = (
    ".jax-program"  # of our files: the folder is the user's choice, and nothing else in it is ever removed
)
LONGEST = 200  # characters of a file's name; the end of a key is the hash, its beginning the program's name


@cache
def enable() -> bool:
    """Keep compiled programs on disk from now on; whether they are kept. It does nothing when called again.

    The environment variable SUPERPOSITION_CACHE names another folder, or switches the cache off ("off" or nothing).
    A cache that was configured in JAX itself stays as it is. Where the folder cannot be made, or JAX has no such
    cache, programs are compiled as without one, and nothing is said: a cache is never a reason to fail.
    """
    import jax

    config: Any = jax.config
    if config.jax_compilation_cache_dir is not None or not config.jax_enable_compilation_cache:
        return False
    try:
        root = folder()
        if root is None:
            return False
        entries = Entries(root / cpu(), root, CAP)
        entries.place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: "~" of a user who has no home
        return False
    if not _install(entries):
        return False
    if config.jax_persistent_cache_min_compile_time_secs == 1.0:  # JAX's default, no choice of the user's
        config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    # XLA's own files would lie in the same folder, and no cap holds for them.
    config.update("jax_persistent_cache_enable_xla_caches", "none")
    config.update("jax_compilation_cache_dir", str(entries.place))
    return True


def folder() -> Path | None:
    """The folder of the cache, None where it is switched off."""
    chosen = os.environ.get(VARIABLE)
    if chosen is None:
        import platformdirs

        return Path(platformdirs.user_cache_dir("superposition", appauthor=False)) / "compiled"
    return None if chosen.strip().lower() in ("", "off") else Path(chosen).expanduser().absolute()


def cpu() -> str:
    """A short name for this kind of CPU: of its architecture, model and instruction sets."""
    facts = [platform.system(), platform.machine(), platform.processor()]
    with suppress(OSError, UnicodeDecodeError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        facts += sorted({line for line in lines if line.split("\t")[0].split(":")[0].strip() in wanted})
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


class Entries:
    """Files of `place`, one an entry, behind the interface of JAX's caches: `get` and `put` by key.

    All entries below `root` together are kept below `cap` bytes: the ones that were longest without use go first. Other
    files there are somebody's own, and are neither counted nor touched.
    Any number of processes may share the folder. Errors of the file system are a miss, or an entry that is not kept.
    """

    def __init__(self, place: Path, root: Path, cap: int) -> None:
        self.place, self.root, self.cap = place, root, cap
        self._path = place  # JAX names it in its log
        self._before_prune = 0  # bytes to write before `prune` looks at all files, 30 ms for a thousand

    def get(self, key: str) -> bytes | None:
        """The entry, None where there is none that is sound."""
        path = self._file(key)
        try:
            data = path.read_bytes()
            if hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]:
                path.unlink()
                return None
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)  # it was used now
        return data[DIGEST:]

    def put(self, key: str, value: bytes) -> None:
        """Keep an entry, unless it alone exceeds the cap."""
        if DIGEST + len(value) > self.cap:
            return
        with suppress(OSError):
            handle, name = tempfile.mkstemp(prefix=".", suffix=SUFFIX, dir=self.place)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(value).digest() + value)
                os.replace(name, self._file(key))
            except BaseException:
                os.unlink(name)
                raise
            self._before_prune -= DIGEST + len(value)
            if self._before_prune < 0:
                self.prune()

    def prune(self) -> None:
        """Where all entries together exceed the cap, remove old ones until a tenth of it is free."""
        files = []
        for path in self.root.glob(f"*/*{SUFFIX}"):
            with suppress(OSError):  # another process was faster
                about = path.stat()
                files.append((about.st_mtime_ns, about.st_size, path))
        size = sum(one for _, one, _ in files)
        if size > self.cap:
            for _, one, path in sorted(files):
                if size <= 0.9 * self.cap:
                    break
                with suppress(OSError):
                    path.unlink()
                size -= one
        self._before_prune = int(self.cap - size) // 4  # other processes write too

    def _file(self, key: str) -> Path:
        return self.place / f"{key[-LONGEST:]}{SUFFIX}"


def _install(entries: Entries) -> bool:
    """Have JAX use these entries for their folder; False for a JAX that has another inside."""
    try:
        from jax._src import compilation_cache as inside

        jaxs_own = inside.get_file_cache
    except (ImportError, AttributeError):
        return False

    def get_file_cache(path: str) -> Any:
        return (entries, path) if path == str(entries.place) else jaxs_own(path)

    inside.get_file_cache = get_file_cache
    return True
