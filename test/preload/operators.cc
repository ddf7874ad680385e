// The operators of C++ and what the standard library does with them.
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

struct alignas(256) wide {
        char bytes[300];
};

int main()
{
        std::map<int, std::string> m;
        std::vector<std::unique_ptr<wide>> v;
        bool refused = false;
        volatile size_t most = SIZE_MAX / 2 - 100;

        for (int i = 0; i < 20000; i++)
                m[i * 7919 % 20011] = std::string(static_cast<size_t>(i % 300), 'x');
        for (int i = 0; i < 1000; i++) {
                v.push_back(std::make_unique<wide>());
                if (reinterpret_cast<uintptr_t>(v.back().get()) % 256)
                        return 1;
        }
        std::thread([&] { m.clear(); }).join();
        try {
                ::operator delete(::operator new(most));        // not left out, unlike new char[]
        } catch (const std::bad_alloc &) {
                refused = true;
        }
        if (::operator new(most, std::nothrow))
                return 1;
        std::puts(refused ? "well" : "badly");
}
