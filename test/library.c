/* A library that tests load and unload. */
int test_library_twice(int v);
int test_library_call(int (*fn)(int), int v);

int test_library_twice(int v)
{
        return 2 * v;
}

int test_library_call(int (*fn)(int), int v)
{
        return fn(v) + 1;
}
