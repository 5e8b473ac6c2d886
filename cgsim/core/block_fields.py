"""Field numbers of the timed machine's raw blocks, and what each field holds.

A machine in memory is one system block, one block per CPU and one per cache or TLB level; each is a
row of int64 fields, some of which are raw addresses of arrays. Times are ticks: `TICKS` per cycle,
a number that every dispatch width from 1 to 8 divides.
"""

TICKS = 840

NEVER = 1 << 62  # later than any clock

# Causes of the CPI stack: where a tick of the retirement clock went.
CAUSES = ("work", "L1", "L2", "L3", "L4", "memory", "TLB", "coherence", "branch", "lock")
(WORK, LEVEL_1, LEVEL_2, LEVEL_3, LEVEL_4, MEMORY, TLB, COHERENCE, BRANCH, LOCK) = range(10)
MAX_LEVELS = 4

# System block
(
    S_PAGE_MAP,  # raw address of the heap's page map
    S_PAGE_TABLE,  # simulated address of the entries that page walks read; 0: they read none
    S_PLACES,  # raw address of the places' counts (`cgsim.core.attribution`), 0 if none are kept
    S_PLACE_OF,  # raw address: slab cache -> its first place
    S_STAMPS,  # raw address of uint32 per word: the number of the last store to it
    S_LOST,  # raw address of uint32 per line and core: the store that took its copy; 0: one core
    S_STAMP,  # stores so far
    S_DIRECTORY,  # raw address of the directory; 0 with one core
    S_RECORD_WORDS,  # int64 words of one line's directory record
    S_CORES,  # cores in the machine
    S_CORE_CPU,  # raw address of a row: core -> block of its first CPU
    S_LEVELS,  # cache levels; the last one is shared
    S_PRIVATE,  # how many of them, from the first, belong to one core
    S_MEMORY,  # raw address of a row of ticks: node * nodes + home node -> latency
    S_NODES,
    S_MEMORY_INTERVAL,  # least ticks between two lines from memory to one CPU
    S_TRANSFER,  # raw address of a row of ticks: core * cores + owner core -> latency
    S_INVALIDATE,  # likewise: until a copy on the other core is gone
    S_PREFETCH,  # 1: a miss beyond L2 also brings the next line of its page into L2
    S_INVALIDATIONS,  # copies removed from private levels by other cores' writes
    S_TRANSFERS,  # lines that came from another core's private levels
    S_UPGRADES,  # writes that hit a line but had to ask for it
    S_WRITEBACKS,  # dirty lines written to memory
    S_MISPREDICT,  # ticks from a branch's outcome to the first instruction of the right path
    S_LOCKED,  # ticks of a locked read-modify-write that hits L1
    S_FORWARD,  # ticks from a store's value to a load of the same word
    S_FENCE,  # ticks of a fence
    S_HUGE_SHIFT,  # log2 of what a TLB entry covers of a 2 MiB page
    S_GIANT_IN_TLB_2,  # 1: the second TLB level holds 1 GiB pages
    S_RENAMED,  # as S_FORWARD, where the address needs no computation
    S_SIBLING,  # ticks of a locked operation's line between the hardware threads of a core
    S_ENTERED,  # raw address of a row: line -> tick at which it entered the last level; 0: not kept
    S_RETENTION,  # ticks after which strangers have replaced half of the lines of the last level
    S_NODE_INTERVAL,  # least ticks between two lines from a node's memory to all CPUs; 0: none
    S_LINK_INTERVAL,  # likewise: to the CPUs of other sockets
    S_NODE_RINGS,  # raw address of two rings per node, of its memory and of its links: WINDOWS
    S_SHARES,  # raw address of a table: (an age in ticks, share of the last level left after it)
    S_LOG,  # raw address of the log of accesses (`cgsim.core.recording`); 0: none is kept
    S_BULK,  # 1: other code's lines are touched in bulk (`cgsim.core.background`)
    S_QUEUE,  # raw address of CHUNK lines of other code, on their way to the last level
    S_SAME_PLACE,  # raw address of a row: cause -> least ticks between two lines from there to the
    # same place of their pages; 0: none
    SYSTEM_FIELDS,
) = range(42)

CHUNK = 32  # lines of other code that are touched at once: a power of two, within a page
QUEUED_WORDS = 5

SHARES = 64  # ages that are remembered: a power of two

# Rings of windows of time, in which so many lines pass; an entry is (number of the window, lines).
WINDOWS = 1024
WINDOW_LINES = 32

# Cache or TLB level
(
    K_SETS,
    K_MASK,  # sets - 1 where sets is a power of two, else -1
    K_WAYS,
    K_FOLD,  # 0: plain index; else bits by which the name is folded onto itself first
    K_ROW_BYTES,
    K_ROWS,  # raw address of the sets, uint32
    K_LATENCY,  # ticks from address to value for a hit here; for a TLB level, extra ticks
    K_INTERVAL,  # least ticks between two lines from here to one CPU
    K_HITS,
    K_MISSES,
    K_INCLUSION,
    K_LIST,  # raw address of a fully associative TLB level's list (`cgsim.core.lru_list`), or 0
    K_RANDOM,  # 0: true LRU; else the level replaces at random, and this counts its draws, from 1
    # other code's lines (`cgsim.core.other_code`):
    K_NUMBER,  # of the level, from 0
    K_CPU,  # block of a CPU above
    K_SEEN,  # raw address: set -> (clock when it was last told of them, cold ones so far); 0: none
    K_CLOCK,  # changes whenever there are more
    K_STREAMED,  # cold lines that have come here
    K_LAG,  # cold lines that come to the levels above first
    K_RING,  # cold lines of a set, which come in turn
    K_HOT,  # raw address: hot line -> (clock when it last came here, cold lines before); 0: none
    K_HOT_LINES,
    K_EVENTS,  # raw address of a ring: (cold lines before, tick, those of the last level)
    K_EVENT,  # events so far
    LEVEL_FIELDS,
) = range(25)
EVENTS = 1024  # that are remembered: a power of two
NINE, INCLUSIVE, VICTIM = range(3)

# CPU block
(
    C_SYSTEM,  # raw address of the system block
    C_CORE,
    C_NODE,
    C_LEVELS,  # MAX_LEVELS raw addresses of cache levels follow
    _2,
    _3,
    _4,
    C_TLB_1,  # first-level TLBs by page size: 4 KiB, 2 MiB, 1 GiB (may be the same block)
    _t2,
    _t3,
    C_TLB_2,
    C_WALK,  # ticks of a page walk on top of the second level's, by page size
    _w2,
    _w3,
    C_WIDTH,  # ticks per instruction at full width
    C_L1_ROWS,  # for the short way: raw address of L1's sets, latency and interval
    C_L1_MASK,  # likewise: the bits of an address that choose a set
    C_L1_LATENCY,
    C_L1_INTERVAL,
    C_ALU,  # ticks of one ALU operation on a dependence chain
    C_MULTIPLY,
    C_INDEXED,  # extra ticks of a load whose address has an index register
    C_LAST_SHIFT,  # log2 of what the last TLB entry used covers
    C_LAST_PAGE,  # its page number: certainly the TLB's most recent
    C_PAGE_READY,  # when its translation is known
    C_FLIGHT,  # raw address of the table of lines on their way: (line, ticks << 4 | cause)
    C_QUIET,  # a load of L1 that starts from then on may take the short way (`cgsim.core.timed`):
    # it waits for no line and no page walk
    C_PENDING,  # instructions not yet dispatched: they go with the next access
    C_DISPATCH,  # clock of the front end
    C_RETIRE,  # clock of in-order retirement; the CPU's time
    C_INSTRUCTIONS,  # dispatched so far
    C_NOTES,  # raw address of the notes of retirement (`cgsim.core.rob`)
    C_ROB_ENTRIES,
    C_FRONT_CAUSE,  # why the front end was last held back
    C_ACCESSES,
    C_STORES,  # where the next store's clock goes in the ring
    C_STORE_RING,  # raw address of drain clocks, one per store-buffer entry
    C_STORE_ENTRIES,
    C_STORE_INTERVAL,  # least ticks between two stores leaving the store buffer
    C_DRAIN,  # when the youngest store has left the store buffer
    C_FORWARD,  # raw address of the table of recent stores: (word, ticks, instruction, unused)
    C_FORWARDING,  # instruction number from which on no store can hand its value to a load
    C_STORED,  # instruction number up to which all stores have certainly left the store buffer
    C_FILLS,  # raw address of the ring of line-fill buffers' completion clocks
    C_FILL_ENTRIES,
    C_FILL,  # where the next miss' clock goes in that ring
    C_NEXT_LEVEL,  # MAX_LEVELS + 1 clocks: when each level (then memory) can deliver again
    _n2,
    _n3,
    _n4,
    _n5,
    C_HISTORY,  # outcomes of the last 64 branches
    C_PREDICTOR,  # raw address of the predictor's tables; 0: every branch is predicted right
    C_BRANCHES,
    C_MISPREDICTS,
    C_PACE,  # dispatch clock of the last paced point
    C_SLOTS,  # raw address of the clock of the core's front end; 0 for its only hardware thread
    C_TENURE,  # raw address of the core's table of lines that it may still use: TENURE_FIELDS
    C_TESTS,  # branches among the pending instructions
    C_LOADED,  # when the value of the load before the youngest is ready; 0 after a call or return
    C_YOUNGEST,  # likewise of the youngest load
    C_RESTART,  # when the front end started anew after the last mispredicted branch
    C_AHEAD,  # ticks by which wrong paths were ahead, less what this chain of loads has used
    C_CHAIN,  # 1: the next load that misses begins a chain of its own
    C_LEADS,  # raw address of a ring: (instruction that a wrong path came to, ticks it was ahead)
    C_LEAD,  # where the next wrong path goes in that ring
    C_AHEAD_UNTIL,  # instruction number up to which the last wrong path may have come
    C_WAITING,  # entries of the schedulers taken, packed (`cgsim.core.scheduler`)
    C_WAIT_BUCKET,  # bucket of the dispatch clock up to which they have been given back
    C_WAIT_LIMIT,  # dispatch clock from which on entries are to be given back
    C_HOLD,  # ticks that an entry is held beyond the wait for operands; -1: none binds
    C_PAUSED,  # ticks of the retirement clock that other code took
    C_FIRST_HOT,  # number of its first hot line, among the CPUs that share L2
    C_SAME_PLACE,  # raw address of clocks, by cause and place of a line in its page: when the next
    # line can come
    C_CAUSES,  # ticks of retirement by cause; work is what neither these nor pauses explain
    CPU_FIELDS,
) = (*range(75), 75 + len(CAUSES) - 1)

# Entry points of the engine stand behind the CPU block's fields (`cgsim.core.timed`).
ENTRY_POINTS = (
    "read", "write", "mispredict", "translate", "settle", "pause", "touch", "miss", "catch_up",
    "run_other_code", "translate_pages",
)  # fmt: skip
(
    E_READ, E_WRITE, E_MISPREDICT, E_TRANSLATE, E_SETTLE, E_PAUSE, E_TOUCH, E_MISS, E_CATCH_UP,
    E_RUN_OTHER_CODE, E_TRANSLATE_PAGES,
) = range(CPU_FIELDS, CPU_FIELDS + len(ENTRY_POINTS))  # fmt: skip

# Behind them: scheduler entries to give back, by bucket of the dispatch clock.
WAIT_BUCKETS = 512
C_WAIT = CPU_FIELDS + len(ENTRY_POINTS)
CPU_WORDS = C_WAIT + WAIT_BUCKETS

LEADS = 16  # wrong paths that are remembered

PAGE_LINES = 64  # of 4 KiB

FORWARD_ENTRIES = 64
FORWARD_FIELDS = 4
FLIGHT_ENTRIES = 64
FORWARD_REACH = 256  # instructions after which a store has certainly left the store buffer

# Directory record of a line: who may write it, since when, who has a copy.
(D_OWNER, D_BUSY, D_SHARERS) = range(3)  # owner: core + 1, 0 if none

# A core's tenure of a line that another core has asked for: usable from READY up to UNTIL (0: never
# lost). LOCKER and LOCKED_UNTIL: block of the CPU of the core that wrote it last, and when. STORED:
# when the core's last store to it left the store buffer.
TENURE_ENTRIES = 16
TENURE_FIELDS = 6
(T_LINE, T_READY, T_UNTIL, T_LOCKER, T_LOCKED_UNTIL, T_STORED) = range(6)
