#!/usr/bin/env python3
"""Tests of tools/bench: what it reads, how it computes, and that it survives what it runs."""

import importlib.machinery
import importlib.util
import io
import os
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
loader = importlib.machinery.SourceFileLoader("runner", str(SOURCE / "tools" / "bench"))
spec = importlib.util.spec_from_loader("runner", loader)
runner = importlib.util.module_from_spec(spec)
loader.exec_module(runner)

WRK = """\
Running 3s test @ http://127.0.0.1:7001/
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.93ms    1.36ms  25.49ms   98.68%
  Latency Distribution
     50%  828.00us
     99%    3.30ms
  241844 requests in 3.10s, 30.21MB read
Requests/sec:  78036.70
"""


class Parsing(unittest.TestCase):
    def test_reads_the_text_format_of_go_test(self):
        text = ("pkg: weir/bench/chan\n"
                "BenchmarkBuffered_4_4-2\t 100\t 29.95 ns/op\t 30.10 cpu-ns/op\n"
                "Benchmarked is no result line 1 2\nBenchmarkBroken-2\t100\t12\n")
        self.assertEqual(runner.parse_bench(text),
                         {"buffered_4_4": {"ns/op": 29.95, "cpu-ns/op": 30.10}})

    def test_shows_the_echo_as_a_rate(self):
        found = runner.parse_bench("BenchmarkTcp_echo_64x64-2 10 8000.0 ns/op 1.0 p99-ns\n")
        self.assertEqual(found["tcp_echo_64x64"]["msg/s"], 125000)
        self.assertEqual(next(iter(found["tcp_echo_64x64"])), "msg/s")

    def test_reads_wrk(self):
        self.assertEqual(runner.parse_wrk(WRK), {"req/s": 78036.70, "p99-ns": 3.30e6})

    def test_an_error_that_wrk_saw_is_a_failure(self):
        for line in ["  Socket errors: connect 0, read 3, write 0, timeout 0\n",
                     "  Non-2xx or 3xx responses: 7\n"]:
            with self.assertRaises(runner.Failure):
                runner.parse_wrk(WRK + line)


class Arithmetic(unittest.TestCase):
    def test_lower_is_better_for_costs_and_for_rates(self):
        self.assertEqual(runner.cost_ratio("ns/op", 50, 100), 0.5)
        self.assertEqual(runner.cost_ratio("req/s", 200, 100), 0.5)

    def test_pairs_are_dropped_by_load_never_by_result(self):
        quiet, loud = (0.02, {"ns/op": 900.0}, {}), (0.50, {"ns/op": 1.0}, {})
        less = (0.20, {"ns/op": 5.0}, {})
        self.assertEqual(runner.choose([loud, quiet, less, quiet], 2, 0.1), [quiet, quiet])
        self.assertEqual(runner.choose([loud, quiet, less], 2, 0.1), [quiet, less])

    def test_a_row_holds_medians_and_the_spread_of_single_pairs(self):
        pairs = [(0.0, {"ns/op": w}, {"ns/op": g}) for w, g in [(50, 100), (60, 100), (90, 100)]]
        row, = runner.summarize("spawn_exit", 2, pairs, 4)
        self.assertEqual((row["weir"], row["go"], row["ratio"]), (60, 100, 0.6))
        self.assertAlmostEqual(row["spread"], 0.4 / 0.6)
        self.assertEqual((row["target"], runner.verdict(row, 0.1)), (0.5, "MISSED"))

    def test_a_disturbed_row_is_not_judged(self):
        row, = runner.summarize("spawn_exit", 1, [(0.3, {"ns/op": 1.0}, {"ns/op": 9.0})], 15)
        self.assertEqual(runner.verdict(row, 0.1), "disturbed")
        self.assertEqual(runner.verdict(row, 0.4), "met")

    def test_every_target_names_a_benchmark_that_exists(self):
        text = "".join(p.read_text() for p in (SOURCE / "bench").glob("*.c"))
        for name, _ in runner.TARGETS:
            self.assertTrue(f"BENCH({name})" in text or name in runner.SERVERS, name)


PROGRAM = """#!/bin/sh
case $1 in
-list) echo %(name)s ;;
*) %(body)s ;;
esac
"""


SERVER = """#!/usr/bin/env python3
from http.server import BaseHTTPRequestHandler, HTTPServer

class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "%(length)d")
        self.end_headers()
        self.wfile.write(b"x" * %(length)d)

    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), Hello)
print("listening on 127.0.0.1:%%d" %% server.server_port, flush=True)
server.serve_forever()
"""


class Running(unittest.TestCase):
    """Whole runs, of shell scripts in the place of benches."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.build = Path(self.dir.name)
        (self.build / "bench" / "go").mkdir(parents=True)
        source = self.build / "source"
        (source / "bench").mkdir(parents=True)
        for name in ["bench", "one", "two"]:
            (source / "bench" / f"{name}.c").touch()
        self.addCleanup(setattr, runner, "SOURCE", runner.SOURCE)
        runner.SOURCE = source

    def program(self, path, body, name="work"):
        path = self.build / "bench" / path
        path.write_text(PROGRAM % {"body": body, "name": name})
        path.chmod(0o755)

    def good(self, subject, weir=50, go=100):
        for path, ns in (subject, weir), (f"go/{subject}", go):
            self.program(path, f"echo 'BenchmarkWork_{subject}-1 10 {ns}.0 ns/op {ns}.0 cpu-ns/op'",
                         f"work_{subject}")

    def run_it(self, *argv):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = runner.main(["--build", str(self.build), "--max-load", "9", *argv])
        return status, out.getvalue(), err.getvalue()

    def test_writes_the_table(self):
        self.good("one")
        self.good("two", 300, 100)
        status, out, _ = self.run_it("--pairs", "2")
        self.assertEqual(status, 0)
        lines = [x.split("\t") for x in (self.build / "bench.tsv").read_text().splitlines()
                 if not x.startswith("#")]
        self.assertEqual(lines[0], ["name", "cores", "weir_median", "go_median", "unit", "ratio",
                                    "spread"])
        self.assertIn(["work_one", "1", "50.00", "100.00", "ns/op", "0.500", "0.000"], lines)
        self.assertIn(["work_two", "1", "300.00", "100.00", "ns/op", "3.000", "0.000"], lines)
        self.assertIn("work_two", out)

    def test_a_pattern_selects_by_subject_or_benchmark(self):
        self.good("one")
        self.assertEqual(self.run_it("--quick", "one")[0], 0)   # two is not built, nor asked for
        self.good("two")
        _, out, _ = self.run_it("--quick", "work_two")
        self.assertIn("work_two", out)
        self.assertNotIn("work_one", out)

    def test_procs_are_set_alike_and_the_program_is_pinned(self):
        body = ('n=$(nproc); test $n = $WEIR_PROCS && test $n = $GOMAXPROCS || exit 3;'
                'echo "BenchmarkWork_one-$n 10 5.0 ns/op"')
        self.program("one", body, "work_one")
        self.program("go/one", body, "work_one")
        self.assertEqual(self.run_it("--quick", "one")[0], 0)

    def test_a_crash_is_told_and_the_others_go_on(self):
        self.good("one")
        self.good("two")
        self.program("one", "echo 'starting' >&2; echo 'panic: send on closed' >&2; exit 2",
                     "work_one")
        status, out, _ = self.run_it("--quick")
        self.assertEqual(status, 1)
        self.assertIn("weir: exit 2: panic: send on closed", out)
        self.assertIn("work_two", out)

    def test_a_wrong_result_is_told(self):
        self.good("one")
        self.program("one", "echo '--- FAIL: work_one: counted 1 of 2'; exit 1", "work_one")
        self.assertIn("counted 1 of 2", self.run_it("--quick", "one")[1])

    def test_a_hang_is_dumped_and_ended(self):
        self.good("one")
        self.program("one", "trap 'echo goroutine 7 >&2; exit 2' QUIT; while :; do sleep 0.1; done",
                     "work_one")
        self.addCleanup(setattr, runner, "RUN_SECONDS_MAX", runner.RUN_SECONDS_MAX)
        runner.RUN_SECONDS_MAX = 1
        status, out, _ = self.run_it("--quick", "one")
        self.assertEqual(status, 1)
        self.assertIn("hangs", out)
        logs = list((self.build / "bench").glob("*.stderr"))
        self.assertIn("goroutine 7", logs[0].read_text())

    def servers(self, weir_length, go_length):
        """Two web servers and a wrk that asks neither."""
        (runner.SOURCE / "bench" / "http_hello.c").touch()
        tools = self.build / "tools"
        tools.mkdir()
        (tools / "wrk").write_text(f"#!/bin/sh\ncat <<'END'\n{WRK}END\n")
        (tools / "wrk").chmod(0o755)
        for path, length in ("http_hello", weir_length), ("go/http_hello", go_length):
            path = self.build / "bench" / path
            path.write_text(SERVER % {"length": length})
            path.chmod(0o755)
        self.addCleanup(os.environ.__setitem__, "PATH", os.environ["PATH"])
        os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "needs a core for wrk")
    def test_servers_are_driven_and_stopped(self):
        self.servers(14, 14)
        status, out, _ = self.run_it("--quick", "http")
        self.assertEqual(status, 0)
        self.assertIn("req/s", out)
        self.assertRegex(out, r"p99-ns +1\.00")

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "needs a core for wrk")
    def test_servers_that_answer_differently_are_not_compared(self):
        self.servers(14, 15)
        status, out, _ = self.run_it("--quick", "http")
        self.assertEqual(status, 1)
        self.assertIn("the answers differ", out)

    def test_what_is_missing_is_said_in_one_line(self):
        self.good("one")
        for argv, words in [(["two"], "is missing: build it"), (["none"], "nothing matches none"),
                            (["--pairs", "0"], "at least 1")]:
            if argv == ["none"]:
                self.good("two")
            status, out, err = self.run_it(*argv)
            self.assertEqual((status, out), (2, ""))
            self.assertEqual(len(err.splitlines()), 1)
            self.assertIn(words, err)

    def test_a_name_that_only_one_side_has_is_refused(self):
        self.good("one")
        self.good("two")
        self.program("go/one", "true", "work_uno")
        status, _, err = self.run_it("--quick")
        self.assertEqual(status, 2)
        self.assertIn("work_one, work_uno", err)

    def test_a_missing_tool_is_named_with_its_package(self):
        self.good("one")
        path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        os.environ["PATH"] = "/nonexistent"
        status, _, err = self.run_it("--quick", "one")
        self.assertEqual(status, 2)
        self.assertIn("taskset is missing: apt install util-linux", err)


if __name__ == "__main__":
    unittest.main()
