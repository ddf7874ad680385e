#include <weir.h>
#include <stdio.h>

weir_task(echo, my, { weir_conn *conn; })
{
        char    buf[4096];
        ssize_t n;

        while ((n = weir_conn_read(my->conn, buf, sizeof buf)) > 0)
                if (weir_conn_write(my->conn, buf, (size_t)n) < 0)
                        break;
        weir_conn_close(my->conn);
}

WEIR_MAIN(argc, argv)
{
        const char    *address = argc > 1 ? argv[1] : "127.0.0.1:7007";
        char           bound[64];
        weir_listener *ln;
        weir_conn     *conn;
        int            r;

        r = weir_net_listen("tcp", address, NULL, &ln);
        if (r < 0) {
                fprintf(stderr, "listen on %s: %s\n", address, weir_strerror(r));
                return 1;
        }
        if (weir_listener_address(ln, bound, sizeof bound) >= 0) {
                printf("echo on %s\n", bound);
                fflush(stdout);
        }

        while ((r = weir_listener_accept(ln, &conn)) >= 0)
                weir_go(echo, .conn = conn);

        fprintf(stderr, "accept: %s\n", weir_strerror(r));
        return 1;
}
