"""What workflow code must not use, by dotted name: pure data, read by the scan and by the runtime guard.

Names only, no objects: this package imports none of what it refuses, and a name costs nothing where its
module is not loaded. A name of a class stands for calling it; a name of anything else for any use of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

CLOCK_CURE = "Use workflow.now() or workflow.time() instead, or do it in an activity."
SLEEP_CURE = "Use asyncio.sleep() or workflow.sleep() instead: a timer that survives a crash."
RANDOM_CURE = "Use workflow.random() instead, or draw it in an activity."
UUID_CURE = "Use workflow.uuid4() instead."
THREAD_CURE = "Do it in an activity; to run steps side by side use asyncio.gather() or asyncio.TaskGroup."
PROCESS_CURE = "Do it in an activity."
NETWORK_CURE = "Do it in an activity and return what the workflow needs."
FILE_CURE = "Do it in an activity and return what the workflow needs."


@dataclass(frozen=True, slots=True)
class Restriction:
    """One thing that workflow code must not use, and what to do instead."""

    name: str
    """Dotted, as its documentation calls it: `time.time`."""
    cure: str
    max_args: int | None = None
    """Refused only when called with at most so many arguments: `time.gmtime()` reads the clock, `time.gmtime(0)`
    does not. None: always."""
    shared_only: bool = False
    """A method refused only on an object that outlives the run, such as a module's own `Random`."""

    @property
    def what(self) -> str:
        """The name as error messages show it."""
        return f"{self.name.removeprefix('builtins.')}()"


def _named(owner: str, names: str, cure: str) -> list[Restriction]:
    return [Restriction(f"{owner}.{name}", cure) for name in names.split()]


_RANDOM_METHODS = (
    "random uniform triangular randint choice randrange sample shuffle choices normalvariate lognormvariate "
    "expovariate vonmisesvariate gammavariate gauss betavariate paretovariate weibullvariate binomialvariate "
    "getrandbits randbytes seed"
)
_HTTP_VERBS = "request get post put patch delete head options"
_PATH_METHODS = (
    "cwd home open read_text read_bytes write_text write_bytes exists is_file is_dir is_symlink stat lstat iterdir "
    "glob rglob mkdir rmdir unlink rename replace touch chmod symlink_to hardlink_to readlink resolve samefile owner"
)

_CLOCK = [
    *_named(
        "time",
        "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns "
        "thread_time thread_time_ns clock_gettime clock_gettime_ns",
        CLOCK_CURE,
    ),
    *(
        Restriction(f"time.{name}", CLOCK_CURE, max_args=0)
        for name in ("localtime", "gmtime", "ctime", "asctime")
    ),
    Restriction("time.strftime", CLOCK_CURE, max_args=1),
    *_named("datetime.datetime", "now utcnow today", CLOCK_CURE),
    *_named("datetime.date", "today", CLOCK_CURE),
    *_named("pendulum", "now today tomorrow yesterday", CLOCK_CURE),
    *_named("arrow", "now utcnow", CLOCK_CURE),
    Restriction("time.sleep", SLEEP_CURE),
]
_RANDOMNESS = [
    *_named("random", _RANDOM_METHODS, RANDOM_CURE),
    *(
        Restriction(f"random.Random.{name}", RANDOM_CURE, shared_only=True)
        for name in _RANDOM_METHODS.split()
    ),
    Restriction("random.Random", RANDOM_CURE, max_args=0),
    *_named("random", "SystemRandom", RANDOM_CURE),
    *_named("random.SystemRandom", "random getrandbits randbytes", RANDOM_CURE),
    *_named("secrets", "token_bytes token_hex token_urlsafe choice randbelow randbits", RANDOM_CURE),
    *_named("os", "urandom getrandom", RANDOM_CURE),
    *_named(
        "numpy.random",
        "rand randn randint random choice shuffle permutation seed normal uniform",
        RANDOM_CURE,
    ),
    Restriction("numpy.random.default_rng", RANDOM_CURE, max_args=0),
    *_named("uuid", "uuid1 uuid4 uuid6 uuid7", UUID_CURE),
]
_THREADS = [
    *_named("threading", "Thread Timer", THREAD_CURE),
    *_named("threading.Thread", "start", THREAD_CURE),
    *_named("_thread", "start_new_thread", THREAD_CURE),
    *_named("asyncio", "to_thread", THREAD_CURE),
    *_named("asyncio.AbstractEventLoop", "run_in_executor", THREAD_CURE),
    *_named("concurrent.futures", "ThreadPoolExecutor ProcessPoolExecutor", THREAD_CURE),
    *_named("concurrent.futures.Executor", "submit map", THREAD_CURE),
    *_named("multiprocessing", "Process Pool Manager", PROCESS_CURE),
]
_PROCESSES = [
    *_named("subprocess", "Popen run call check_call check_output getoutput getstatusoutput", PROCESS_CURE),
    *_named("asyncio", "create_subprocess_exec create_subprocess_shell", PROCESS_CURE),
    *_named("os", "system popen fork forkpty posix_spawn posix_spawnp kill", PROCESS_CURE),
]
_NETWORK = [
    *_named(
        "socket", "socket socketpair create_connection create_server getaddrinfo gethostbyname", NETWORK_CURE
    ),
    *_named("asyncio", "open_connection start_server open_unix_connection start_unix_server", NETWORK_CURE),
    *_named("urllib.request", "urlopen urlretrieve", NETWORK_CURE),
    *_named("http.client", "HTTPConnection HTTPSConnection", NETWORK_CURE),
    *_named("smtplib", "SMTP SMTP_SSL", NETWORK_CURE),
    *_named("requests", _HTTP_VERBS + " Session", NETWORK_CURE),
    *_named("requests.Session", _HTTP_VERBS + " send", NETWORK_CURE),
    *_named("httpx", _HTTP_VERBS + " stream Client AsyncClient", NETWORK_CURE),
    *_named("httpx.Client", _HTTP_VERBS + " stream send", NETWORK_CURE),
    *_named("httpx.AsyncClient", _HTTP_VERBS + " stream send", NETWORK_CURE),
    *_named("aiohttp", "request ClientSession", NETWORK_CURE),
    *_named("aiohttp.ClientSession", _HTTP_VERBS + " ws_connect", NETWORK_CURE),
]
_FILES = [
    *_named("builtins", "open input", FILE_CURE),
    *_named("io", "open FileIO", FILE_CURE),
    *_named(
        "os",
        "open read write listdir scandir walk stat lstat access mkdir makedirs remove unlink rename replace rmdir "
        "removedirs getcwd chdir",
        FILE_CURE,
    ),
    *_named("os.path", "exists lexists isfile isdir islink getsize getmtime getctime getatime", FILE_CURE),
    *_named("pathlib.Path", _PATH_METHODS, FILE_CURE),
    *_named("shutil", "copy copy2 copyfile copytree rmtree move", FILE_CURE),
    *_named("glob", "glob iglob", FILE_CURE),
    *_named("tempfile", "mkstemp mkdtemp TemporaryFile NamedTemporaryFile TemporaryDirectory", FILE_CURE),
    *_named("sqlite3", "connect", FILE_CURE),
]

RESTRICTIONS: Mapping[str, Restriction] = MappingProxyType(
    {
        restriction.name: restriction
        for restriction in (*_CLOCK, *_RANDOMNESS, *_THREADS, *_PROCESSES, *_NETWORK, *_FILES)
    }
)
"""Every restriction by its dotted name."""
