/* The front of the fuzz programs when no fuzzer drives them: random inputs from a seed.
 *
 *         fuzz-NAME                       inputs for two seconds; prints the seed
 *         WEIR_SEED=N fuzz-NAME           the same ones again
 *         WEIR_FUZZ_MS=60000 fuzz-NAME    longer
 *         fuzz-NAME FILE...               these inputs, as a fuzzer left them
 *
 * With -DWEIR_FUZZ=ON and clang the sources are linked with libFuzzer in place of this file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 4096, MS = 2000 };

static uint64_t state;

/* splitmix64 */
static uint64_t next(void)
{
        uint64_t x = state += UINT64_C(0x9E3779B97F4A7C15);

        x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
        return x ^ (x >> 31);
}

static long now_ms(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int run_file(const char *path)
{
        static uint8_t data[1 << 20];
        FILE          *f = fopen(path, "rb");
        size_t         n;

        if (!f) {
                perror(path);
                return 1;
        }
        n = fread(data, 1, sizeof data, f);
        fclose(f);
        return LLVMFuzzerTestOneInput(data, n);
}

int main(int argc, char **argv)
{
        static uint8_t data[MOST];
        const char    *seed = getenv("WEIR_SEED"), *ms = getenv("WEIR_FUZZ_MS");
        long           end = now_ms() + (ms ? atol(ms) : MS), runs = 0;

        for (int i = 1; i < argc; i++)
                if (run_file(argv[i]))
                        return 1;
        if (argc > 1)
                return 0;
        state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) << 20 ^ (uint64_t)clock();
        printf("WEIR_SEED=%llu\n", (unsigned long long)state);
        fflush(stdout);
        do {
                size_t n = next() % MOST;

                for (size_t i = 0; i < n; i++)
                        data[i] = (uint8_t)next();
                LLVMFuzzerTestOneInput(data, n);
                runs++;
        } while (now_ms() < end);
        printf("%ld inputs\n", runs);
        return 0;
}
