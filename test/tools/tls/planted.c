/* Functions that do with thread-local addresses what tools/tlscheck is to find, and some that do
 * what it is to accept; their names say which. */
#include <weir.h>

#pragma GCC visibility push(default)

static __thread int counter;

/* The address as a value that the compiler must keep and may not compute again. */
static inline int *hidden(int *p)
{
        __asm__ volatile("" : "+r"(p));
        return p;
}

void weir_bad_register(void)
{
        int *p = hidden(&counter);

        *p = 1;
        weir_yield();
        *p = 2;
}

void weir_bad_slot(void)
{
        int *volatile slot = hidden(&counter);

        weir_yield();
        *slot = 2;
}

int weir_bad_path(int n)
{
        int *p = hidden(&counter), sum = 0;

        for (int i = 0; i < n; i++) {
                sum += *p;
                if (sum > 100)
                        weir_yield();
        }
        return sum;
}

static __attribute__((noinline)) void write_after(int *p)
{
        weir_yield();
        *p = 3;
}

void weir_bad_argument(void)
{
        write_after(hidden(&counter));
}

int *weir_kept;

void weir_bad_store(void)
{
        weir_kept = hidden(&counter);
}

__attribute__((noinline)) int *weir_address(void)
{
        return hidden(&counter);
}

void weir_bad_accessor(void)
{
        int *p = hidden(weir_address());

        weir_yield();
        *p = 4;
}

void weir_bad_pointer(void (*fn)(void))
{
        int *p = hidden(&counter);

        fn();
        *p = 5;
}

extern int *const_errno_address(void) __asm__("__errno_location") __attribute__((const));

int weir_bad_errno(void)
{
        *const_errno_address() = 0;
        weir_yield();
        return *const_errno_address();
}

/* What looks innocent: in position-independent code the compiler asks for the address once. */
int weir_bad_direct(void)
{
        counter = 1;
        weir_yield();
        return counter;
}

int weir_good_again(void)
{
        int before = *weir_address();

        weir_yield();
        return before + *weir_address();
}

void weir_good_before(void)
{
        int *p = hidden(&counter);

        *p = 7;
        *p += *hidden(p);
        weir_yield();
}
