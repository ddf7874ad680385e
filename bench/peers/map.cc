/* What bench/map.c measures, of absl::flat_hash_map (absl_*) and std::unordered_map (std_*): the
 * same keys, the same rounds, on glibc's malloc. Not linked with weir. Options: -bench=REGEX
 * -list. */
#include <absl/container/flat_hash_map.h>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <malloc.h>
#include <regex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;
volatile uint64_t sink;

uint64_t key_of(uint64_t i)
{
        i *= UINT64_C(0x9e3779b97f4a7c15);
        return i ^ i >> 32;
}

std::vector<std::string> texts;

void make_texts(size_t n)
{
        for (size_t i = texts.size(); i < n; i++)
                texts.push_back(std::string("abcdefgh", i % 8) + std::to_string(key_of(i) >> (i % 3 * 8)));
}

double seconds_since(clock_type::time_point start)
{
        return std::chrono::duration<double>(clock_type::now() - start).count();
}

/* Returns the seconds that one round of n operations took. */
using round = std::function<double(size_t n)>;

template <class Map> void fill(Map &m, size_t n)
{
        for (uint64_t i = 0; i < n; i++)
                m[key_of(i)] = i;
}

template <class Map> void fill_strings(Map &m, size_t n)
{
        for (uint64_t i = 0; i < n; i++)
                m[std::string_view(texts[i])] = i;
}

template <class Map> double insert(size_t n)
{
        size_t maps = n < 100000 ? 100 : 1;
        auto   start = clock_type::now();

        for (size_t i = 0; i < maps; i++) {
                Map m;

                fill(m, n);
                sink = m.size();
        }
        return seconds_since(start) / (double)maps;
}

template <class Map> double insert_strings(size_t n)
{
        size_t maps = n < 100000 ? 100 : 1;

        make_texts(2 * n);
        auto start = clock_type::now();
        for (size_t i = 0; i < maps; i++) {
                Map m;

                fill_strings(m, n);
                sink = m.size();
        }
        return seconds_since(start) / (double)maps;
}

template <class Map> double look(size_t n, uint64_t from)
{
        static Map m;
        size_t     times = n < 100000 ? 1000 : 1;
        uint64_t   sum = 0;

        if (m.empty())
                fill(m, n);
        auto start = clock_type::now();
        for (size_t t = 0; t < times; t++)
                for (uint64_t i = 0; i < n; i++) {
                        auto it = m.find(key_of(i + from));

                        sum += it == m.end() ? 0 : it->second;
                }
        sink = sum;
        return seconds_since(start) / (double)times;
}

template <class Map> double look_strings(size_t n, uint64_t from)
{
        static Map m;
        size_t     times = n < 100000 ? 1000 : 1;
        uint64_t   sum = 0;

        make_texts(2 * n);
        if (m.empty())
                fill_strings(m, n);
        auto start = clock_type::now();
        for (size_t t = 0; t < times; t++)
                for (uint64_t i = 0; i < n; i++) {
                        auto it = m.find(std::string_view(texts[i + from]));

                        sum += it == m.end() ? 0 : it->second;
                }
        sink = sum;
        return seconds_since(start) / (double)times;
}

/* Small maps come four at a time, as in bench/map.c. */
template <class Map> double erase(size_t n)
{
        size_t times = n < 100000 ? 25 : 1, maps = n < 100000 ? 4 : 1;
        double took = 0;

        for (size_t i = 0; i < times; i++) {
                std::vector<Map> m(maps);

                for (Map &one : m)
                        fill(one, n);
                auto start = clock_type::now();
                for (Map &one : m)
                        for (uint64_t k = 0; k < n; k++)
                                one.erase(key_of(k));
                took += seconds_since(start);
        }
        return took / (double)(times * maps);
}

template <class Map> double iterate(size_t n)
{
        static Map m;
        size_t     times = n < 100000 ? 1000 : 1;
        uint64_t   sum = 0;

        if (m.empty())
                fill(m, n);
        auto start = clock_type::now();
        for (size_t t = 0; t < times; t++)
                for (auto &e : m)
                        sum += e.first + e.second;
        sink = sum;
        return seconds_since(start) / (double)times;
}

template <class Map> double longest(size_t n)
{
        Map    m;
        double worst = 0;
        auto   before = clock_type::now();

        for (uint64_t i = 0; i < n; i++) {
                m[key_of(i)] = i;
                auto   after = clock_type::now();
                double d = std::chrono::duration<double>(after - before).count();

                if (d > worst)
                        worst = d;
                before = after;
        }
        return worst * (double)n;               /* printed per operation */
}

/* Bytes of memory per entry. */
template <class Map> double bytes(size_t n)
{
        size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
        Map    m;

        fill(m, n);
        return (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before) / 1e9;
}

struct entry {
        std::string name;
        size_t      n;
        round       fn;
};

template <class Map, class Strings> void add(std::vector<entry> &all, const std::string &prefix)
{
        static const struct {
                const char *name;
                size_t      n;
        } sizes[] = { { "_1K", 1000 }, { "_1M", 1000000 }, { "_10M", 10000000 } };

        for (auto &s : sizes) {
                all.push_back({ prefix + "insert" + s.name, s.n, insert<Map> });
                all.push_back({ prefix + "hit" + s.name, s.n, [](size_t n) { return look<Map>(n, 0); } });
                all.push_back({ prefix + "miss" + s.name, s.n, [](size_t n) { return look<Map>(n, n); } });
                all.push_back({ prefix + "delete" + s.name, s.n, erase<Map> });
                all.push_back({ prefix + "iterate" + s.name, s.n, iterate<Map> });
                all.push_back({ prefix + "str_insert" + s.name, s.n, insert_strings<Strings> });
                all.push_back({ prefix + "str_hit" + s.name, s.n,
                                [](size_t n) { return look_strings<Strings>(n, 0); } });
                all.push_back({ prefix + "str_miss" + s.name, s.n,
                                [](size_t n) { return look_strings<Strings>(n, n); } });
                all.push_back({ prefix + "bytes" + s.name, s.n, bytes<Map> });
        }
        all.push_back({ prefix + "longest_10M", 10000000, longest<Map> });
}

} // namespace

int main(int argc, char **argv)
{
        std::vector<entry> all;
        std::string        pattern = ".";
        bool               list = false;

        for (int i = 1; i < argc; i++) {
                if (!strncmp(argv[i], "-bench=", 7))
                        pattern = argv[i] + 7;
                list |= !strcmp(argv[i], "-list");
        }
        add<absl::flat_hash_map<uint64_t, uint64_t>, absl::flat_hash_map<std::string_view, uint64_t>>(
                all, "absl_");
        add<std::unordered_map<uint64_t, uint64_t>, std::unordered_map<std::string_view, uint64_t>>(
                all, "std_");
        for (auto &e : all) {
                double took = 0;
                int    rounds = 0;

                if (!std::regex_search(e.name, std::regex(pattern)))
                        continue;
                if (list) {
                        puts(e.name.c_str());
                        continue;
                }
                e.fn(e.n);                      /* the warm-up */
                for (; took < 0.2 && rounds < 1000; rounds++)
                        took += e.fn(e.n);
                printf("Benchmark%c%s-1\t%10d\t%12.2f ns/op\n", toupper(e.name[0]), e.name.c_str() + 1,
                       rounds, took / rounds / (double)e.n * 1e9);
                fflush(stdout);
        }
        return 0;
}
