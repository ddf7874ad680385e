/* A library that tests load and unload. */
int test_library_twice(int v);
int test_library_call(int (*fn)(int), int v);

/* A global to keep an address in. */
extern void *test_library_word;
void *test_library_word;

int test_library_twice(int v)
{
        return 2 * v;
}

int test_library_call(int (*fn)(int), int v)
{
        return fn(v) + 1;
}
