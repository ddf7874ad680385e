"""Goroutines in gdb, of a running program and of a core file:

    (gdb) source /usr/local/share/weir/weir-gdb.py
    (gdb) info goroutines               number, name, state, what it waits for, entry function
    (gdb) goroutine 7 bt                any command of gdb about the frames of a goroutine
    (gdb) goroutine all bt

It reads the runtime's own structures by the library's debug information, and runs nothing in the
program. A goroutine that runs is shown by its thread; one that does not, by a frame that this script
puts in the place of the thread's own: the thread's registers are never written, so cores work too."""
import gdb
import gdb.unwinder

STATES = ["dead", "runnable", "running", "parked", "blocking call"]
SAVED = ["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"]       # upward from sp + 8, see switch.S


def static(name):
    symbol = gdb.lookup_static_symbol(name) or gdb.lookup_global_symbol(name)
    if symbol is None:
        raise gdb.GdbError(f"no symbol {name}: is libweir here, and does it have debug information?")
    return symbol.value()


def head_in(end, pointer, known):
    """The goroutine at the top of the stack that ends at end. Where exactly it is differs from stack
    to stack (COLOURS in stack.c); it is where it says itself that the stack ends."""
    for below in known + [b for b in range(64, 4096 + 64, 64) if b not in known]:
        g = gdb.Value(end - below).cast(pointer).dereference()
        try:
            if int(g["stack"]["high"]) == end - below:
                if below not in known:
                    known.append(below)
                return g
        except gdb.MemoryError:
            pass                                        # not in the core
    return None


def goroutines():
    """Every live goroutine, as a value of struct g, by its number."""
    pointer = gdb.lookup_type("struct g").pointer()
    found, known = [], []
    slab = static("slabs")
    while int(slab):
        base, stride = int(slab["base"]), int(slab["stride"])
        for i in range(int(slab["carved"])):
            g = head_in(base + (i + 1) * stride, pointer, known)
            if g is not None and int(g["id"]) and int(g["state"]):
                found.append(g)
        slab = slab["next"]
    return sorted(found, key=lambda g: int(g["id"]))


def wait_of(g):
    state = int(g["state"])
    if state != 3:
        return STATES[state] if state < len(STATES) else f"state {state}"
    try:
        text = static("why_text")[int(g["why"])].string()
    except (gdb.error, gdb.GdbError):
        text = f"parked ({int(g['why'])})"
    on = int(g["wait_on"])
    return f"{text} {on:#x}" if on else text


def name_of(g):
    try:
        return f' "{g["name"].string()}"' if int(g["name"]) else ""
    except gdb.error:
        return ""


def entry_of(g):
    at = int(g["fn"])
    block = gdb.block_for_pc(at)
    if block is not None and block.function is not None:
        name = block.function.name
    else:
        name = gdb.execute(f"info symbol {at:#x}", to_string=True).split(" ")[0]
    if name == "weir__sched_run_root":
        return "the root goroutine"
    return name[:-len("_entry_")] if name.endswith("_entry_") else name


def thread_of(g):
    """The thread that runs g, or None."""
    if not int(g["m"]) or int(g["state"]) not in (2, 4):
        return None
    tid = int(g["m"]["tid"])
    for thread in gdb.selected_inferior().threads():
        if tid in thread.ptid[1:]:
            return thread
    return None


class InfoGoroutines(gdb.Command):
    """Lists the goroutines: number, name, state or what it waits for, entry function."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        running = gdb.selected_thread()
        for g in goroutines():
            thread = thread_of(g)
            mark = "*" if thread is not None and running is not None and \
                thread.ptid == running.ptid else " "
            where = f", thread {thread.num}" if thread is not None else ""
            print(f"{mark} {int(g['id'])}{name_of(g)} [{wait_of(g)}{where}] {entry_of(g)}")


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class Parked(gdb.unwinder.Unwinder):
    """Puts the frame of a goroutine that does not run above the innermost of the thread."""

    def __init__(self):
        super().__init__("weir parked goroutine")
        self.registers = None
        self.innermost = None

    def __call__(self, pending):
        if self.registers is None or \
                int(pending.read_register("rsp")) & (1 << 64) - 1 != self.innermost:
            return None
        sp = int(self.registers["rsp"])
        info = pending.create_unwind_info(FrameId(gdb.Value(sp - 256), gdb.Value(0)))
        for name, value in self.registers.items():
            info.add_saved_register(name, value)
        return info


def saved_registers(g):
    word = gdb.lookup_type("unsigned long").pointer()
    sp = int(g["ctx"]["sp"])
    stack = gdb.Value(sp).cast(word)
    registers = {name: stack[1 + i] for i, name in enumerate(SAVED)}
    registers["rsp"] = gdb.Value(sp + 8 * (1 + len(SAVED))).cast(
        gdb.lookup_type("unsigned long"))
    return registers


class Goroutine(gdb.Command):
    """goroutine N COMMAND, goroutine all COMMAND: a command about the frames of a goroutine."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK)
        self.parked = Parked()
        gdb.unwinder.register_unwinder(None, self.parked, replace=True)

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if len(words) != 2:
            raise gdb.GdbError("usage: goroutine N COMMAND, for example: goroutine 7 bt")
        if words[0] != "all" and not words[0].isdigit():
            raise gdb.GdbError(f"no goroutine {words[0]}: numbers are in `info goroutines`")
        chosen = [g for g in goroutines() if words[0] in ("all", str(int(g["id"])))]
        if not chosen:
            raise gdb.GdbError(f"no goroutine {words[0]}: numbers are in `info goroutines`")
        for g in chosen:
            if words[0] == "all":
                print(f"goroutine {int(g['id'])}{name_of(g)} [{wait_of(g)}]:")
            self.one(g, words[1])

    def one(self, g, command):
        was = gdb.selected_thread()
        if was is None:
            raise gdb.GdbError("no thread is selected")
        thread = thread_of(g)
        if thread is None and int(g["state"]) in (2, 4):
            raise gdb.GdbError(f"goroutine {int(g['id'])} runs, but its thread is not here")
        try:
            if thread is not None:
                thread.switch()
                gdb.execute(command)
            else:
                self.on_parked(g, command)
        finally:
            was.switch()

    def on_parked(self, g, command):
        self.parked.innermost = \
            int(gdb.newest_frame().read_register("rsp")) & (1 << 64) - 1
        self.parked.registers = saved_registers(g)
        gdb.invalidate_cached_frames()
        try:
            gdb.newest_frame().older().select()
            out = gdb.execute(command, to_string=True)
        finally:
            self.parked.registers = None
            gdb.invalidate_cached_frames()
        # The thread's own frame is the first of a backtrace, and none of the goroutine's.
        lines = out.splitlines()
        if lines and lines[0].startswith("#0 "):
            while len(lines) > 1 and not lines[1].startswith("#"):
                del lines[1]
            del lines[0]
        print("\n".join(lines))


InfoGoroutines()
Goroutine()
