/* Runs a fuzz target over the files of a folder, and over each of them cut short and with bytes
 * turned over, at random from the seed that is printed (or WEIR_SEED). */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 65536, MUTATIONS = 300 };

static uint64_t state;

static uint32_t below(uint32_t n)
{
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t)((state >> 33) % n);
}

static void mutate(const uint8_t *data, size_t size)
{
        for (int i = 0; i < MUTATIONS; i++) {
                size_t   n = below(2) ? size : below((uint32_t)size + 1);
                uint8_t *copy = malloc(n ? n : 1);      /* exactly as long, for the sanitizer */

                memcpy(copy, data, n);
                for (uint32_t k = below(8); n && k; k--)
                        copy[below((uint32_t)n)] = (uint8_t)below(256);
                LLVMFuzzerTestOneInput(copy, n);
                free(copy);
        }
}

int main(int argc, char **argv)
{
        static uint8_t data[MAX];
        const char    *seed = getenv("WEIR_SEED");
        struct dirent *e;
        DIR           *dir;
        unsigned       files = 0;

        if (argc != 2 || !(dir = opendir(argv[1])))
                return 2;
        state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
        printf("seed %llu\n", (unsigned long long)state);
        fflush(stdout);
        while ((e = readdir(dir))) {
                char   path[4096];
                FILE  *f;
                size_t n;

                if (e->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
                f = fopen(path, "rb");
                if (!f)
                        return 2;
                n = fread(data, 1, sizeof data, f);
                fclose(f);
                LLVMFuzzerTestOneInput(data, n);
                mutate(data, n);
                files++;
        }
        closedir(dir);
        return files ? 0 : 1;
}
