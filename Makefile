# A thin front for CMake and CTest. The targets are:
#
#   make                                   library and command, in build/
#   make demo                              a web server on goroutines, driven by wrk
#   make test [SAN=address|thread|undefined] [TEST=regex]
#   make test-tiny                         with tiny caches, and collections all the time
#   make test-old-kernel                   tests of stacks and panics under Linux 6.1 (user-mode)
#   make bench [BENCH=name]                weir against Go, in build/bench.tsv. BENCH=mem: its malloc
#                                          against others', in build/bench-malloc.tsv, too; BENCH=data:
#                                          its maps against Go's and C++'s, in build/bench-map.tsv, and
#                                          bytes; BENCH=gc: the collector
#   make test-real                         real programs on libweir-malloc.so
#   make soak [MINUTES=5] [SOAK=program]   long measurements; fails when a limit is missed
#   make soak-gc [MINUTES=5] [CYCLES=100000]   graphs that goroutines change while they are collected
#   make litmus [RULE=name]               the rules of docs/memory-model.md, 10^8 times each
#   make install [PREFIX=/usr/local] [DESTDIR=]
#   make debug                             build-debug/: -O0 and every internal check
#   make clean                             removes all build directories
#
# Each installs the Debian packages that it lacks, or says which ones.

PREFIX  = /usr/local
DESTDIR =
SAN     =
TEST    =
BENCH   =
MINUTES = 5
CYCLES  = 100000
LITMUS  = 100000000
RULE    =
SOAK    =
JOBS    =

preset := $(or $(SAN),release)
build  := build$(if $(SAN),-$(SAN))
jobs   := $(if $(JOBS),-j $(JOBS))

# With a sanitizer the runtime is tested, by the examples too; the command and the headers are not.
scope := $(if $(SAN),-L '^(unit|crash|stress|fuzz|examples|trouble)$$')

all:
	@tools/deps build
	@test -f build/build.ninja -a -f build/CMakeCache.txt || cmake --preset release
	@cmake --build build $(jobs)
	@ln -sfn build/bin/weir weir

debug:
	@tools/deps build
	@test -f build-debug/build.ninja || cmake --preset debug
	@cmake --build build-debug $(jobs)

ifeq ($(SAN),)
test: all
endif
test:
	@tools/deps test
	@cmake --preset $(preset) -DWEIR_TESTS=ON >/dev/null
	@cmake --build $(build) --target tests $(jobs)
	@ctest --test-dir $(build) --output-on-failure $(jobs) $(scope) $(if $(TEST),-R '$(TEST)')

test-old-kernel: all
	@tools/deps test
	@cmake --preset release -DWEIR_TESTS=ON >/dev/null
	@cmake --build build --target tests $(jobs)
	@tools/old-kernel build || { s=$$?; test $$s = 77; }

demo: all
	@tools/deps demo
	@tools/demo

bench: all
	@tools/deps bench
	@cmake --build build --target benches $(jobs)
ifneq ($(filter mem malloc,$(BENCH)),)
	@tools/bench-malloc
endif
ifneq ($(filter data map,$(BENCH)),)
	@tools/bench-map
endif
ifneq ($(filter gc,$(BENCH)),)
	@echo 'Boehm:'; build/bench/peers/gc_boehm
	@echo 'weir, with the program stopped from beginning to end:'; \
		WEIR_DEBUG=gcstop=1 build/bench/gc -bench='requests|stores'
	@build/bench/figures/stops
endif
ifeq ($(filter malloc map,$(BENCH)),)
	@tools/bench $(if $(filter data,$(BENCH)),bytes,$(BENCH))
endif

test-real: all
	@tools/deps real
	@test/real/run

soak: all
	@tools/deps test
	@cmake --preset release -DWEIR_TESTS=ON >/dev/null
	@cmake --build build --target soaks $(jobs)
	@tools/soak --minutes '$(MINUTES)' $(SOAK)

# Half of the time as it is used, half with each collection checked; then so many collections of a
# small heap, checked and with what is freed overwritten; then finalizers, and what is kept wrongly.
soak-gc: all
	@tools/deps test
	@cmake --preset release -DWEIR_TESTS=ON >/dev/null
	@cmake --build build --target stress-gc soak-gc $(jobs)
	@for check in 0 1; do \
		WEIR_PROCS=2 WEIR_DEBUG=gccheck=$$check WEIR_STRESS_MS=$$(($(MINUTES) * 30000)) \
			build/bin/stress-gc || exit; \
	done
	@WEIR_PROCS=2 WEIR_DEBUG=gccheck=1,gcpoison=1 WEIR_GC_CYCLES=$(CYCLES) \
		WEIR_STRESS_MS=7200000 build/bin/stress-gc
	@tools/soak --minutes '$(MINUTES)' gc

# Each rule of docs/memory-model.md so often; some minutes. RULE=mutex: that one.
litmus: all
	@tools/deps test
	@cmake --preset release -DWEIR_TESTS=ON >/dev/null
	@cmake --build build --target litmus model-rules model-final $(jobs)
	@build/bin/model-rules
	@build/bin/model-final
	@WEIR_LITMUS=$(LITMUS) build/bin/litmus $(RULE)

install: all
	@DESTDIR='$(DESTDIR)' cmake --install build --prefix '$(PREFIX)'

clean:
	rm -rf build build-debug build-address build-thread build-undefined weir

.NOTPARALLEL:
# Caches of two blocks, a walk of the heap after each operation, a collection each 16 allocations. Tests
# that need switches of their own keep these.
test-tiny: all
	@tools/deps test
	@cmake --preset release -DWEIR_TESTS=ON >/dev/null
	@cmake --build build --target tests $(jobs)
	@WEIR_DEBUG=tiny=1,gcstress=16 ctest --test-dir build --output-on-failure $(jobs) \
		-L '^(unit|examples|trouble)$$' $(if $(TEST),-R '$(TEST)')

.PHONY: all debug test test-tiny litmus test-old-kernel test-real demo bench soak soak-gc install clean
