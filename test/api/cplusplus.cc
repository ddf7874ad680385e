// weir from C++: what the macros of C cannot do there, functions and templates can.
#include <weir.h>

#include <cstdio>

namespace {

struct greeting {
        weir_chan *to;
        int        number;
};

void greet(void *arg)
{
        auto *my = static_cast<greeting *>(arg);

        weir_send(my->to, &my->number);
}

struct guard {
        bool *gone;
        ~guard() { *gone = true; }
};

void panics(void *arg)
{
        guard g = { static_cast<bool *>(arg) };

        weir_panic("%s", "from C++");
}

}

WEIR_MAIN(argc, argv)
{
        weir_chan      *c = weir_chan_make(int, 0);
        greeting        hello = { c, 42 };
        weir_panic_info info;
        bool            gone = false, ok = false;
        int             v = 0;

        weir_go_copy(greet, &hello, sizeof hello, nullptr);
        weir_case cases[2] = {};
        cases[0].op = WEIR_OP_RECV;
        cases[0].chan = c;
        cases[0].elem = &v;
        cases[0].size = sizeof v;
        cases[0].ok = &ok;
        cases[1].op = WEIR_OP_TIMEOUT;
        cases[1].timeout = 5 * WEIR_SECOND;
        if (weir_select_n(cases, 2) != 0 || v != 42 || !ok) {
                std::puts("no greeting");
                return 1;
        }
        if (weir_protect(panics, &gone, &info) != WEIR_EPANIC || !gone) {
                std::puts("the destructor did not run");
                return 1;
        }
        return 0;
}
