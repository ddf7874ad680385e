/* Names and sentences of error codes. weir's own come from the table in weir/error.h; the rest is
 * errno's, for which the C library has constant texts in every thread and signal handler. */
#include <weir/error.h>

#include <limits.h>
#include <string.h>

struct code {
        int         code;
        const char *name;
        const char *sentence;
};

#define CODE(name, code, sentence) { code, #name, sentence },
static const struct code codes[] = {
        { 0, "OK", "Success" },
        WEIR_ERROR_TABLE(CODE)
};

static const struct code *find(int err)
{
        for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
                if (codes[i].code == err)
                        return &codes[i];
        return NULL;
}

const char *weir_strerror(int err)
{
        const struct code *c = find(err);
        const char        *s = NULL;

        if (c)
                return c->sentence;
        if (err < 0 && err > INT_MIN)
                s = strerrordesc_np(-err);
        return s ? s : "Unknown error";
}

const char *weir_error_name(int err)
{
        const struct code *c = find(err);
        const char        *s = NULL;

        if (c)
                return c->name;
        if (err < 0 && err > INT_MIN)
                s = strerrorname_np(-err);
        return s ? s : "UNKNOWN";
}
